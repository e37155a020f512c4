"""Tools for testing code that calls out: a hand-turned clock, events, an upstream that fails.

Nothing here is imported by the package itself.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from flask import Flask

from .events import Event
from .rules import Instance, Maybe, OneOf, Whole, check
from .state import current_state

FAULTS = OneOf("hang", "reset", "truncate", "garbage", "drip")
BODILESS = frozenset({204, 304})
_LINGER_ZERO = struct.pack("ii", 1, 0)


class FakeClock:
    """A clock that stands still until it is told or slept on.

    :param now: Where it starts, in seconds.
    """

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def wall(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self.now

    def monotonic(self) -> float:
        """Return the time, in seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Note the pause in ``slept`` and let it pass at once."""
        self.slept.append(seconds)
        self.now += seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@contextmanager
def record_events(app: Flask) -> Iterator[list[Event]]:
    """Collect what *app* reports while the block runs.

    :raises RuntimeError: If the app has no flask-resilience.
    """
    with app.app_context():
        state = current_state()
    events: list[Event] = []
    with state.on_event.listening(events.append):
        yield events


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an upstream answers one request with, or how it fails to.

    :param delay: Pause before the answer, in seconds.
    :param fault: ``hang`` (no answer), ``reset`` (the connection breaks), ``truncate`` (half the
        body), ``garbage`` (no HTTP) or ``drip`` (a byte of the body every *pace* seconds).
    :raises ConfigurationError: If the fault is unknown, or the status or body is none.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    delay: float = 0.0
    fault: str | None = None
    pace: float = 0.5

    def __post_init__(self) -> None:
        check("status", self.status, Whole(200, 599))
        check("body", self.body, Instance(bytes))
        check("fault", self.fault, Maybe(FAULTS))


@dataclass(frozen=True, slots=True)
class Received:
    """A request that reached the upstream.

    :param headers: By name in lower case.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class FaultyServer(ThreadingHTTPServer):
    """An HTTP server on a free port of the loopback interface, in threads of its own.

    Use it as a context manager; leaving ends every fault that is under way.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[FaultyHandler], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        """Return its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Any:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: clients leave in the middle of an answer, as they are meant to."""


class FaultyHandler(BaseHTTPRequestHandler):
    """Answers requests by :class:`Reply`, faults included."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a kept connection waits 40 ms for each body
    server: FaultyServer

    def received(self) -> Received:
        """Read the request to its end."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        if headers.get("transfer-encoding") == "chunked":
            body = b"".join(self._chunks())
        else:
            body = self.rfile.read(int(headers.get("content-length", 0)))
        return Received(self.command, self.path, headers, body)

    def reply(self, reply: Reply) -> None:
        """Answer, or fail to."""
        self.server.closing.wait(reply.delay)
        fault = getattr(self, f"_{reply.fault}", self._answer)
        fault(reply)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # as in the base class
        """Write nothing."""

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _head(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status not in BODILESS:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()

    def _answer(self, reply: Reply) -> None:
        self._head(reply)
        if self.command != "HEAD" and reply.status not in BODILESS:
            self.wfile.write(reply.body)

    def _hang(self, reply: Reply) -> None:
        self.server.closing.wait(60)
        self.close_connection = True

    def _reset(self, reply: Reply) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self.close_connection = True

    def _truncate(self, reply: Reply) -> None:
        self._head(reply)
        self.wfile.write(reply.body[: len(reply.body) // 2])
        self.close_connection = True

    def _garbage(self, reply: Reply) -> None:
        self.wfile.write(b"\x16\x03 this is no HTTP\r\n\r\n")
        self.close_connection = True

    def _drip(self, reply: Reply) -> None:
        self._head(reply)
        for position in range(len(reply.body)):
            self.wfile.write(reply.body[position : position + 1])
            if self.server.closing.wait(reply.pace):
                break


class ScriptedUpstream(FaultyServer):
    """A real HTTP server that answers by a script and remembers what it was asked.

    ::

        with ScriptedUpstream(503, 503, 200) as upstream:
            session.get(upstream.url)
        assert len(upstream.requests) == 3

    :param script: A status or a :class:`Reply` for each request, at least one; the last one serves
        all that follow.
    :raises ConfigurationError: If there is none, or one is something else.
    """

    def __init__(self, *script: int | Reply) -> None:
        replies = [Reply(status=one) if isinstance(one, int) else one for one in script or (None,)]
        self.script: list[Reply] = [check("script", one, Instance(Reply)) for one in replies]
        super().__init__(_ScriptedHandler)
        self.requests: list[Received] = []
        self._lock = threading.Lock()

    def next_reply(self, request: Received) -> Reply:
        """Note *request* and return the script's next answer."""
        with self._lock:
            position = min(len(self.requests), len(self.script) - 1)
            self.requests.append(request)
        return self.script[position]


class _ScriptedHandler(FaultyHandler):
    server: ScriptedUpstream

    def _serve(self) -> None:
        self.reply(self.server.next_reply(self.received()))

    do_GET = do_HEAD = do_OPTIONS = do_TRACE = _serve  # noqa: N815  # as in the base class
    do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815
