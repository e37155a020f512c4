"""The app on Werkzeug's server, on a socket that is already open: the way without gunicorn.

``python -m example_app.server DESCRIPTOR`` is started by :mod:`example_app.processes`.
"""

from __future__ import annotations

import logging
import signal
import sys

from werkzeug.serving import make_server

from example_app.app import create_app


def main(descriptor: int) -> int:
    """Serve until SIGINT or SIGTERM comes.

    :param descriptor: Of the listening socket.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = make_server("127.0.0.1", 0, create_app(), threaded=True, fd=descriptor)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # the app's finish line says it better
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
