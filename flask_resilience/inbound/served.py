"""One request while it is served: what has to be known to tell of it once it is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import has_request_context, request

from ..clock import Clock
from ..context import RequestContext
from ..events import OnEvent, RequestFailed, RequestFinished
from ..open_telemetry import active_span
from ..trace_context import Span
from .client_address import client_address

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ERROR_TYPE_KEY = "flask_resilience.error_type"
"""Where whoever turns an exception into an answer leaves its class's name in the environment."""


class Served:
    """Notes of one request; told exactly once.

    :param started: When it came, in seconds of the clock's monotonic time.
    :param trusted_proxies: Whose word is taken for where it comes from.
    """

    def __init__(
        self,
        environ: WSGIEnvironment,
        request: RequestContext,
        started: float,
        clock: Clock,
        on_event: OnEvent,
        trusted_proxies: int,
    ) -> None:
        self._environ, self._request, self._started = environ, request, started
        self._clock, self._on_event, self._trusted_proxies = clock, on_event, trusted_proxies
        self._span: Span | None = None
        self._begun_after: float | None = None
        self._status = 500
        self._route: tuple[str | None, str | None] = (None, None)
        self._length: int | None = None
        self._size = 0
        self._finished = False

    @property
    def begun(self) -> bool:
        """Say whether an answer has begun."""
        return self._begun_after is not None

    @property
    def complete(self) -> bool:
        """Say whether as many bytes have gone as the answer had announced."""
        return self._length is not None and self._size >= self._length

    def begin(self, status: str, headers: list[tuple[str, str]]) -> None:
        """Note the beginning of the answer; Flask forgets its route right after.

        So does OpenTelemetry its span, which may have begun within the app.
        """
        self._span = active_span()
        self._status = int(status[:3])
        self._begun_after = self._clock.monotonic() - self._started
        self._route = _flask_route()
        length = next((value for name, value in headers if name.lower() == "content-length"), "")
        self._length = int(length) if length.isdecimal() else None

    def count(self, chunk: bytes) -> None:
        """Note that a piece of the body has gone."""
        self._size += len(chunk)

    def assume_sent(self) -> None:
        """Take it that all that was announced has gone, where the server sends by itself."""
        self._size = max(self._size, self._length or 0)

    def counted(self, write: Callable[[bytes], object]) -> Callable[[bytes], object]:
        """Return WSGI's imperative ``write``, counted too."""

        def counting(data: bytes) -> object:
            self.count(data)
            return write(data)

        return counting

    def fail(self, error: BaseException) -> None:
        """Tell of an exception that nobody had handled."""
        self._environ[ERROR_TYPE_KEY] = type(error).__name__
        self._on_event(RequestFailed(error=error))

    def finish(self, outcome: str | None = None) -> None:
        """Tell of the request, the first time this is called.

        :param outcome: Instead of what the status says.
        """
        if self._finished:
            return
        self._finished = True
        environ, duration = self._environ, self._clock.monotonic() - self._started
        begun_after, (route, endpoint) = self._begun_after, self._route
        self._on_event(
            RequestFinished(
                method=environ["REQUEST_METHOD"],
                path=decoded(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")),
                route=route,
                endpoint=endpoint,
                status=self._status,
                body_size=self._size,
                duration=duration,
                time_to_first_byte=duration if begun_after is None else begun_after,
                client_address=client_address(environ, self._trusted_proxies),
                user_agent=environ.get("HTTP_USER_AGENT"),
                outcome=outcome or _outcome(self._status),
                error_type=environ.get(ERROR_TYPE_KEY),
                calls=self._request.calls.totals(),
                added=self._request.added,
                span=self._span,
            )
        )


def _flask_route() -> tuple[str | None, str | None]:
    if not has_request_context() or request.url_rule is None:
        return None, None
    return request.url_rule.rule, request.url_rule.endpoint


def decoded(path: str) -> str:
    """Return a path as the client meant it; WSGI hands UTF-8 over disguised as Latin-1."""
    return path.encode("latin-1", "replace").decode("utf-8", "replace")


def _outcome(status: int) -> str:
    if status >= 500:
        return "server_error"
    if status == 429:
        return "rate_limited"
    return "client_error" if status >= 400 else "ok"
