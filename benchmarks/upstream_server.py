"""An upstream as cheap as can be: a thread for each connection, and one answer to everything.

Run as a script, since what is measured must not share its interpreter. It writes the port that it
listens on, and ends when its standard input does.
"""

from __future__ import annotations

import socket
import sys
import threading
import time

BODY = b'{"status": "ok"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
END_OF_HEADERS = b"\r\n\r\n"
BACKLOG = 64


def serve(listener: socket.socket, delay: float) -> None:
    """Answer on every connection to *listener*, for ever.

    :param delay: How long each answer takes, in seconds.
    """
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection, delay), daemon=True).start()


def answer(connection: socket.socket, delay: float) -> None:
    """Answer the requests on *connection*, which have no bodies, until its client leaves."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    asked = b""
    with connection:
        while received := connection.recv(65536):
            asked += received
            if asked.endswith(END_OF_HEADERS):
                asked = b""
                if delay:
                    time.sleep(delay)
                connection.sendall(ANSWER)


def main(delay: float) -> None:
    """Listen on a free port of the loopback until standard input ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        threading.Thread(target=serve, args=(listener, delay), daemon=True).start()
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(float(sys.argv[1]))
