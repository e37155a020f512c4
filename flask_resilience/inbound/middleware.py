"""The outermost WSGI layer: identity, timing and the finish line of every request.

Works around any WSGI app::

    app = RequestIDMiddleware(app)

The app runs in a copy of the current context, and so does the iteration of its body. What is bound
in there cannot leak into the next request, even if a response is never closed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from structlog.contextvars import bind_contextvars

from ..clock import SYSTEM_CLOCK, Clock
from ..context import RequestContext, bind_request
from ..events import OnEvent, ignore_event, tell
from .body import watch_body
from .identity import Identification
from .problems import CONTENT_TYPE, INTERNAL_ERROR, problem
from .request_id import ENVIRON_KEY, environ_name
from .request_timeout import ENVIRON_NAME as TIMEOUT_NAME
from .request_timeout import parse_request_timeout
from .served import Served, decoded

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DEADLINE_EXCEEDED = "DLN-001"


class RequestIDMiddleware:
    """Give each request an ID, answer with it, and tell of the request when it is over.

    A request whose caller waits no longer, by its ``X-Request-Timeout-Ms``, is answered 504 and
    never reaches the app.

    :param app: The app it stands before.
    :param header: Read, answered and written back into the environment.
    :param service: Name of the app, for its log lines.
    :param on_event: Told of the finish and of exceptions that escape the app.
    :param propagate_errors: Asked when an exception escapes: whether the server shall have it, as
        debuggers and tests want; otherwise a plain 500 is answered.
    :param trust: Whose IDs are taken over: ``any`` client's, those that came by way of every
        trusted ``proxy``, or ``never``; the others stand as ``client_request_id`` in the log.
    :param trusted_proxies: How many proxies stand in front, whose ``X-Forwarded-For`` counts.
    :raises ConfigurationError: If *trust* or *trusted_proxies* is out of range.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        header: str = "X-Request-ID",
        service: str | None = None,
        on_event: OnEvent = ignore_event,
        clock: Clock = SYSTEM_CLOCK,
        propagate_errors: Callable[[], bool] = lambda: False,
        trust: str = "any",
        trusted_proxies: int = 0,
    ) -> None:
        self._app, self._header, self._service = app, header, service
        self._on_event: OnEvent = partial(tell, on_event)
        self._clock, self._propagate_errors = clock, propagate_errors
        self._identification = Identification(environ_name(header), trust, trusted_proxies)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request in a context of its own."""
        context = copy_context()
        return context.run(self._serve, environ, start_response, context)

    def _serve(
        self, environ: WSGIEnvironment, start_response: StartResponse, context: Context
    ) -> Iterable[bytes]:
        started = self._clock.monotonic()
        timeout = parse_request_timeout(environ.get(TIMEOUT_NAME))
        expires_at = None if timeout is None else started + timeout
        request = self._bind(environ, expires_at)
        proxies = self._identification.trusted_proxies
        served = Served(environ, request, started, self._clock, self._on_event, proxies)
        start = self._with_id(start_response, request.request_id, served)
        try:
            if timeout == 0:
                body: Iterable[bytes] = _answer(DEADLINE_EXCEEDED, environ, start)
            else:
                body = self._app(environ, start)
        except Exception as error:
            body = self._answer_escaped(error, environ, start, served)
        except BaseException as error:
            if not _is_orderly_exit(error):  # a worker told to exit because this hangs is none
                served.fail(error)
            served.finish("server_error")
            raise
        return watch_body(body, served, context, environ.get("wsgi.file_wrapper"))

    def _bind(self, environ: WSGIEnvironment, expires_at: float | None) -> RequestContext:
        """Make the request the current one, known by its ID to the app and to the log."""
        request_id, span, refused_id = self._identification.identify(environ)
        environ[ENVIRON_KEY] = environ[self._identification.environ_name] = request_id
        request = RequestContext(request_id, self._service, expires_at, span)
        bind_request(request)
        bind_contextvars(request_id=request_id)
        if refused_id is not None:
            bind_contextvars(client_request_id=refused_id)
        return request

    def _with_id(
        self, start_response: StartResponse, request_id: str, served: Served
    ) -> StartResponse:
        """Return a ``start_response`` that answers exactly one ID and notes what is answered."""
        name = self._header.lower()

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            others = [pair for pair in headers if pair[0].lower() != name]
            served.begin(status, others)
            write = start_response(status, [*others, (self._header, request_id)], *exc_info)
            return served.counted(write)

        return start

    def _answer_escaped(
        self,
        error: Exception,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        served: Served,
    ) -> Iterable[bytes]:
        served.fail(error)
        if served.begun or self._propagate_errors():
            served.finish("server_error")
            raise error
        return _answer(INTERNAL_ERROR, environ, start_response)


def _answer(code: str, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answer the problem *code* in the app's stead."""
    members = problem(code, instance=decoded(environ.get("PATH_INFO", "")))
    body = json.dumps(members).encode()
    status = HTTPStatus(members["status"])
    headers = [("Content-Type", CONTENT_TYPE), ("Content-Length", str(len(body)))]
    start_response(f"{status.value} {status.phrase.upper()}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _is_orderly_exit(error: BaseException) -> bool:
    return isinstance(error, SystemExit) and not error.code
