"""Limited apps under gunicorn, and requests as cheap as they can be made: one socket for each."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.joining.serving import Served, served
from tests.sharing.fleet import wait_until

APP = """
import json
import os

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from flask_resilience import Resilience

def make(name, view_limit="1000 per minute", ask_before=0, **settings):
    app = Flask(name)
    resilience = Resilience(app, **settings)

    @app.get("/")
    def index():
        return "let in"

    @app.get("/view")
    @resilience.limit(view_limit)
    def view():
        return "let in"

    @app.after_request
    def name_worker(response):
        response.headers["X-Worker"] = os.getpid()
        return response

    for _ in range(ask_before):
        app.test_client().get("/")
    return app

APPS = json.loads(os.environ["TEST_APPS"])
free = make("free", rate_limit="")
app = DispatcherMiddleware(free, {f"/{name}": make(name, **APPS[name]) for name in APPS})
"""
PATIENCE = 30.0


class Answer(NamedTuple):
    """What came of a request.

    :param status: 0 if the connection broke.
    :param worker: The process that answered.
    :param seconds: From connecting to the last byte; of requests at once, waiting in line too.
    """

    status: int
    worker: int
    seconds: float


class Pending:
    """A request that was sent."""

    def __init__(self, port: int, path: str, verb: str = "GET") -> None:
        self._began = time.monotonic()
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        head = f"{verb} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n"
        self._connection.sendall(f"{head}Connection: close\r\n\r\n".encode())

    def answer(self) -> Answer:
        """Wait for the whole answer."""
        try:
            with self._connection, self._connection.makefile("rb") as stream:
                head = stream.read().partition(b"\r\n\r\n")[0].decode("latin-1")
        except ConnectionError:
            head = ""
        seconds = time.monotonic() - self._began
        if not head:
            return Answer(0, 0, seconds)
        first, *rest = head.split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in rest)
        return Answer(int(first.split()[1]), int(fields.get("x-worker", 0)), seconds)


class Limited:
    """A gunicorn with limited apps, each of which has a path of its own."""

    def __init__(self, server: Served) -> None:
        self.server = server

    def send(self, path: str, verb: str = "GET") -> Pending:
        """Send a request, and wait for nothing."""
        return Pending(self.server.port, path, verb)

    def ask(self, path: str) -> Answer:
        """Ask, and wait for the answer."""
        return self.send(path).answer()

    def statuses_in_a_row(self, path: str, count: int) -> list[int]:
        """Ask again and again, and return the statuses."""
        return [self.ask(path).status for _ in range(count)]

    def statuses_at_once(self, path: str, count: int) -> list[int]:
        """Send all before any answer is read, and return the statuses."""
        return [one.status for one in self.answers_at_once(path, count)]

    def answers_at_once(self, path: str, count: int) -> list[Answer]:
        """Send all before any answer is read, and return the answers.

        They are read together: gunicorn's threads wait at the end until the client has hung up.
        """
        pending = [self.send(path) for _ in range(count)]
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(Pending.answer, pending))

    def workers(self, count: int) -> set[int]:
        """Return all processes that serve once there are so many."""
        found: set[int] = set()

        def are_all_there() -> bool:
            found.update(one.worker for one in self.answers_at_once("/", 4 * count))
            return len(found) >= count

        wait_until(are_all_there)
        return found

    def told(self, event: str) -> list[Any]:
        """Return the log's lines of one event."""
        return self.server.lines(event=event)

    def outages(self) -> list[str]:
        """Return what began each outage of a storage, by word of the log."""
        return [line["error_message"] for line in self.told("storage.degraded")]

    def pids_that_told(self, event: str) -> list[int]:
        """Return the process of each line of one event."""
        return sorted(line["pid"] for line in self.told(event))


@contextmanager
def limited(
    folder: Path, apps: dict[str, dict[str, Any]], *options: str, text: str = APP
) -> Iterator[Limited]:
    """Serve apps with these settings, by name, until the block ends.

    State that is kept by default lies in *folder*.
    """
    environment = {"TEST_APPS": json.dumps(apps), "XDG_STATE_HOME": str(folder / "state")}
    with ExitStack() as stack:
        yield Limited(stack.enter_context(served(folder, text, *options, **environment)))
