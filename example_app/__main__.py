"""``python -m example_app``: the app and the scheduling service, to play with or as a demo."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from example_app.processes import StartError, run_app, run_upstream
from example_app.story import Stage, StoryError, play
from example_app.upstream import port_number

SERVE_PORT = 8000
LOG_TAIL = 20
TRY = """\
The appointments API is at {app}, the scheduling service behind it at {upstream}.

Use it:
  curl -i {app}/services
  curl -i {app}/notices
  curl -i '{app}/availability?service=haircut&day=2030-05-06'
  curl -i {app}/appointments -H 'Content-Type: application/json' \\
    -d '{{"service": "haircut", "day": "2030-05-06", "time": "09:00", "customer": "Ada"}}'
  curl -i {app}/appointments/1
  curl -i -X PATCH {app}/appointments/1 -H 'Content-Type: application/json' \\
    -d '{{"day": "2030-05-06", "time": "10:00"}}'

Make the scheduling service fail, use the app again and read its log below:
  curl -X PUT {upstream}/control -d '{{"share": 0.25, "statuses": [503]}}'
  curl -X PUT {upstream}/control -d '{{"share": 0.25, "statuses": [503], "retry_after": 1}}'
  curl -X PUT {upstream}/control -d '{{"share": 0.25, "fault": "reset"}}'
     (or "hang", "truncate", "garbage", "drip": the request was acted on, its answer is lost)
  curl -X PUT {upstream}/control -d '{{"share": 1, "statuses": [500, 502]}}'
     (five failures in a row open the circuit)
  curl -X PUT {upstream}/control -d '{{"share": 0.6, "statuses": [503]}}'
     (never five in a row, but from ten requests on their share opens it)
  curl -X PUT {upstream}/control -d '{{"share": 0, "delay": 1.5}}'
  curl {upstream}/control
  curl {app}/circuit
  curl -X DELETE {upstream}/control

See one request as a tree, if you have started this with "| tee app.log" behind it; X-Request-ID in
its answer is its ID:
  {python} -m flask_resilience trace ID app.log

Ctrl-C ends both.

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example.

    :return: 0 if it was ended as it is meant to, 1 if it failed; 130 for a demo cut short.
    """
    options = _parse(arguments)
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        return demo(options) if options.command == "demo" else serve(options)
    except KeyboardInterrupt:
        return 130 if options.command == "demo" else 0
    except StoryError as error:
        sys.stderr.write(f"The story did not come out as told: {error}.\n")
    except (StartError, OSError) as error:
        sys.stderr.write(f"The example could not start: {error}.\n")
    return 1


def serve(options: argparse.Namespace) -> int:
    """Run both processes until one is asked to stop; the app's log goes to stdout.

    :return: 1 if the app ends by itself.
    """
    port = SERVE_PORT if options.port is None else options.port
    with (
        run_upstream() as upstream,
        run_app(upstream.url, port=port, workers=options.workers) as app,
    ):
        sys.stdout.write(TRY.format(app=app.url, upstream=upstream.url, python=sys.executable))
        sys.stdout.flush()
        code = app.process.wait()
    sys.stderr.write(f"The app ended by itself, with code {code}.\n")
    return 1


def demo(options: argparse.Namespace) -> int:
    """Play the story and tell what the user saw; the app's log goes to a file.

    :raises StoryError: If it does not come out as told.
    """
    with tempfile.TemporaryDirectory() as folder:
        log, state = Path(folder, "app.log"), Path(folder, "state")
        try:
            with (
                log.open("ab") as output,
                run_upstream() as upstream,
                run_app(
                    upstream.url,
                    port=options.port or 0,
                    workers=options.workers,
                    output=output,
                    state=state,
                ) as app,
            ):
                play(Stage(app.url, upstream.url, log, options.workers or 1), _tell)
        except (StoryError, StartError):
            tail = "\n".join(log.read_text().splitlines()[-LOG_TAIL:])
            sys.stderr.write(f"The end of the app's log:\n{tail}\n\n")
            raise
    _tell("\nThe story came out as told.\n")
    return 0


def _tell(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m example_app", description=__doc__)
    parser.add_argument(
        "command",
        nargs="?",
        choices=("serve", "demo"),
        default="serve",
        help="serve (the default) until Ctrl-C, or a story that plays itself",
    )
    parser.add_argument(
        "--port", type=port_number, help=f"of the app; {SERVE_PORT} to serve, a free one in a demo"
    )
    parser.add_argument("--workers", type=_worker_count, help="run the app under gunicorn")
    options = parser.parse_args(arguments)
    if options.workers is not None and find_spec("gunicorn") is None:
        parser.error("--workers needs gunicorn, which is not installed: pip install gunicorn")
    return options


def _worker_count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 16):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of workers from 1 to 16.")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
