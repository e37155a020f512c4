"""The scheduling service: ``python -m example_app.upstream``, a process of its own.

It answers like a service that works, and fails as ``PUT /control`` tells it to; ``GET`` shows what
it was told, ``DELETE`` heals it. A ``POST`` with an ``Idempotency-Key`` it has seen gets the answer
it gave before.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from example_app.faults import Control, Faults, read_control
from example_app.schedule import SERVICES, RefusedError, Schedule
from flask_resilience import ConfigurationError
from flask_resilience.testing import FaultyHandler, FaultyServer, Received, Reply

STOP = (signal.SIGINT, signal.SIGTERM)


class SchedulingService(FaultyServer):
    """The HTTP side of a :class:`Schedule`, with its faults.

    :param port: On the loopback interface; 0 for a free one.
    :raises OSError: If the port is taken.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(_Handler, port)
        self._faults = Faults()
        self._lock = Lock()
        self._schedule = Schedule()  # guarded by _lock
        self._answers: dict[str, tuple[dict[str, Any], Reply]] = {}  # guarded by _lock

    def answer(self, request: Received) -> Reply:
        """Return the answer to *request*, faults included."""
        if urlsplit(request.path).path == "/control":
            return self._obey(request)
        return self._faults.befall(lambda: self._act(request))

    def _obey(self, request: Received) -> Reply:
        try:
            if request.method == "PUT":
                self._faults.tell(read_control(request.body))
            elif request.method == "DELETE":
                self._faults.tell(Control())
            elif request.method != "GET":
                return json_reply(405, {"error": "/control takes GET, PUT and DELETE."})
        except ConfigurationError as error:
            return json_reply(400, {"error": str(error)})
        return json_reply(200, self._faults.shown())

    def _act(self, request: Received) -> Reply:
        try:
            with self._lock:
                return self._route(request)
        except RefusedError as error:
            return json_reply(error.status, {"error": str(error)})

    def _route(self, request: Received) -> Reply:
        url = urlsplit(request.path)
        match request.method, url.path.split("/")[1:]:
            case "GET", ["services"]:
                listed = [{"id": one, "name": name} for one, name in SERVICES.items()]
                return json_reply(200, {"services": listed})
            case "GET", ["notices"]:
                return json_reply(200, {"notices": ["Closed on 1 May."]})
            case "GET", ["availability"]:
                asked = {"service": "", "day": "", **dict(parse_qsl(url.query))}
                free = self._schedule.free(asked["service"], asked["day"])
                return json_reply(200, {**asked, "free": free})
            case "GET", ["appointments", number]:
                return json_reply(200, self._schedule.find(numbered(number)).shown())
            case "POST", ["appointments"]:
                return self._book(request)
            case "PATCH", ["appointments", number]:
                moved = self._schedule.move(numbered(number), json_object(request))
                return json_reply(200, moved.shown())
        raise RefusedError(404, "There is nothing here.")

    def _book(self, request: Received) -> Reply:
        """Book, unless the request's key says that this was asked before.

        Source: IETF draft-ietf-httpapi-idempotency-key-header.
        """
        key, wanted = request.headers.get("idempotency-key"), json_object(request)
        if key in self._answers:
            before, reply = self._answers[key]
            if before != wanted:
                raise RefusedError(422, "The Idempotency-Key was used for another booking.")
            return reply
        try:
            reply = json_reply(201, self._schedule.book(wanted).shown())
        except RefusedError as error:
            reply = json_reply(error.status, {"error": str(error)})
        if key is not None:
            self._answers[key] = wanted, reply
        return reply


class _Handler(FaultyHandler):
    server: SchedulingService

    def _serve(self) -> None:
        self.reply(self.server.answer(self.received()))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815  # as in the base class


def json_reply(status: int, body: Mapping[str, Any]) -> Reply:
    """Return *body* as an answer."""
    headers = {"Content-Type": "application/json"}
    return Reply(status=status, headers=headers, body=json.dumps(body).encode())


def json_object(request: Received) -> dict[str, Any]:
    """Return the JSON object that *request* brings.

    :raises RefusedError: 400 if it brings none.
    """
    try:
        body = json.loads(request.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError(400, "The body must be a JSON object.")
    return body


def numbered(text: str) -> int:
    """Return the appointment number that *text* is.

    :raises RefusedError: 404 if it is none.
    """
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise RefusedError(404, f"There is no appointment {text!r}.")
    return int(text)


def port_number(text: str) -> int:
    """Return the port that *text* is; 0 stands for a free one.

    :raises argparse.ArgumentTypeError: If it is none.
    """
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port; it must be from 0 to 65535.")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM comes; the first line on stdout is JSON and holds the URL."""
    parser = argparse.ArgumentParser(prog="python -m example_app.upstream", description=__doc__)
    parser.add_argument("--port", type=port_number, default=0, help="by default a free one")
    port: int = parser.parse_args(arguments).port
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)  # kept until sigwait takes one
    try:
        service = SchedulingService(port)
    except OSError as error:
        parser.exit(1, f"Cannot listen on 127.0.0.1:{port}: {error.strerror}.\n")
    with service:
        sys.stdout.write(json.dumps({"event": "listening", "url": service.url}) + "\n")
        sys.stdout.flush()
        signal.sigwait(STOP)
    return 0


if __name__ == "__main__":
    sys.exit(main())
