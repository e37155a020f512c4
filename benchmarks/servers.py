"""The ways to serve one request, with no server around: ours, and those that an app has without."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias
from uuid import uuid4

from flask import Flask, Response, g, request
from structlog.contextvars import bind_contextvars, clear_contextvars
from werkzeug.test import create_environ

from flask_resilience import configure_logging
from flask_resilience.inbound.middleware import RequestIDMiddleware
from flask_resilience.telemetry.logging import EventLog

from .callers import ID_HEADER, glued_logger
from .ours import make_app
from .row import Repeat
from .surroundings import silenced

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Ask: TypeAlias = Callable[[], object]
"""Has one request served, to the last byte of its answer."""
Server: TypeAlias = Callable[[ExitStack], Flask]
"""Sets up an app that serves in its way."""
PATH = "/orders/7"
CLIENT = "192.0.2.7"
HEADERS = {
    "User-Agent": "curl/8.5.0",
    ID_HEADER: "checkout-7",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}


def bare_flask(_: ExitStack) -> Flask:
    """Serve by Flask as it comes, which tells of nothing."""
    return _with_view(Flask("bare"))


def ours(stack: ExitStack, rate_limit: str = "", storage_url: str = "memory://") -> Flask:
    """Serve with all that is on by default but limits.

    :param rate_limit: Is on beside it, for each client over all routes together.
    """
    app, _ = make_app("json", rate_limit, storage_url)
    stack.callback(configure_logging, "off")
    return _with_view(app)


def our_middleware(stack: ExitStack) -> Flask:
    """Serve with the identity and the line of ours alone, which any WSGI app can be given."""
    app = _with_view(Flask("middleware"))
    configure_logging(service=app.name)
    stack.callback(configure_logging, "off")
    log = EventLog("INFO", app.name)
    app.wsgi_app = RequestIDMiddleware(  # type: ignore[method-assign]  # Flask's hook for this
        app.wsgi_app, service=app.name, on_event=log
    )
    return app


def glued(stack: ExitStack) -> Flask:
    """Serve as an app does that logs by hand: an ID, and one JSON line by structlog, in hooks."""
    app, logger = _with_view(Flask("glued")), glued_logger(stack)

    @app.before_request
    def _begin() -> None:
        g.began = perf_counter()
        g.request_id = request.headers.get(ID_HEADER) or uuid4().hex
        clear_contextvars()
        bind_contextvars(request_id=g.request_id)

    @app.after_request
    def _finish(response: Response) -> Response:
        response.headers[ID_HEADER] = g.request_id
        logger.info(
            "http.server.request.finish",
            service=app.name,
            http_request_method=request.method,
            url_path=request.path,
            http_route=request.url_rule and request.url_rule.rule,
            endpoint=request.endpoint,
            http_response_status_code=response.status_code,
            duration_ms=round((perf_counter() - g.began) * 1000, 3),
            client_address=request.remote_addr,
            user_agent=request.headers.get("User-Agent"),
        )
        return response

    app.teardown_request(lambda _: clear_contextvars())
    return app


def asking(app: WSGIApplication) -> Ask:
    """Return what has *app* serve a request of one client that brings an ID and a trace along."""
    environ = create_environ(PATH, headers=HEADERS, environ_base={"REMOTE_ADDR": CLIENT})

    def ask() -> bytes:
        body = app({**environ}, _start_response)
        sent = b"".join(body)
        _close(body)
        return sent

    return ask


def unseen(repeat: Repeat) -> Repeat:
    """Return *repeat* with standard output thrown away."""

    def silent(times: int) -> float:
        with silenced():
            return repeat(times)

    return silent


def _with_view(app: Flask) -> Flask:
    @app.get("/orders/<int:number>")
    def order(number: int) -> str:
        return f"order {number}"

    return app


def _start_response(*_: object) -> Callable[[bytes], object]:
    return _write


def _write(_: bytes) -> None:
    """Take what an app writes instead of returning it; none here does."""


def _close(body: Iterable[bytes]) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()
