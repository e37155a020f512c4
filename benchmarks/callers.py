"""The ways to make one GET: ours, and those that an app has without."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from io import BytesIO
from time import perf_counter
from typing import Any, TypeAlias
from uuid import uuid4

import requests
import structlog
import tenacity
import urllib3
from flask import Flask, current_app, g
from requests.adapters import HTTPAdapter

from flask_resilience import configure_logging

from .ours import make_app
from .row import Repeat, UnavailableError, waiting
from .surroundings import null_device, served, silenced
from .upstream_server import BODY

Repeating: TypeAlias = Callable[[Callable[[], object]], Repeat]
"""Makes what repeats a function, timing it or counting what it calls."""
Caller: TypeAlias = Callable[[ExitStack, int, Repeating], Repeat]
"""Sets a way up to GET from a port of the loopback."""
OTHERS = "http://upstream-"
ID_HEADER = "X-Request-ID"
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def url_of(port: int) -> str:
    """Return where the upstream on *port* is asked."""
    return f"http://127.0.0.1:{port}/"


def raw_socket(stack: ExitStack, port: int, repeating: Repeating = waiting) -> Repeat:
    """Send the bytes and read those that come: the floor."""
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get() -> None:
        connection.sendall(REQUEST)
        answer = b""
        while not answer.endswith(BODY):
            answer += _some(connection)

    return repeating(get)


def urllib3_pool(stack: ExitStack, port: int, repeating: Repeating = waiting) -> Repeat:
    """Call through the package that requests stands on."""
    pool, url = stack.enter_context(urllib3.PoolManager()), url_of(port)
    return repeating(lambda: pool.request("GET", url))


def bare_requests(stack: ExitStack, port: int, repeating: Repeating = waiting) -> Repeat:
    """Call through a session of requests, as it comes."""
    session, url = stack.enter_context(requests.Session()), url_of(port)
    return repeating(lambda: session.get(url))


def ours(stack: ExitStack, port: int, repeating: Repeating = waiting) -> Repeat:
    """Call through the app's session while it serves a request, with all that is on by default."""
    return ours_knowing(1)(stack, port, repeating)


def ours_knowing(upstreams: int) -> Caller:
    """Return the same in an app that knows so many upstreams, the one that is called included."""

    def caller(stack: ExitStack, port: int, repeating: Repeating = waiting) -> Repeat:
        app, resilience = make_app(log_format="json")
        stack.callback(configure_logging, "off")
        with app.app_context(), silenced():
            session = stack.enter_context(resilience.session)
            session.mount(OTHERS, _Answering())
            for number in range(upstreams - 1):
                session.get(f"{OTHERS}{number}.example/")
            del session.adapters[OTHERS]
        url = url_of(port)
        return served(app, repeating(lambda: resilience.session.get(url)))

    return caller


class _Answering(HTTPAdapter):
    """Answer well without a wire."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        raw = urllib3.HTTPResponse(body=BytesIO(BODY), status=200, preload_content=False)
        return self.build_response(request, raw)


def glued(stack: ExitStack, port: int, repeating: Repeating = waiting) -> Repeat:
    """Call as an app does that puts the same together by hand.

    tenacity around pybreaker around requests, the ID of the request sent on, and one JSON line by
    structlog; the same attempts, thresholds and time limits as ours.
    """
    app, url = _app_with_id(), url_of(port)
    attempt, logger = _glued_attempt(stack), glued_logger(stack)

    def get() -> None:
        began = perf_counter()
        response = attempt(url)
        logger.info(
            "http.client.finish",
            service=current_app.name,
            upstream=url,
            http_response_status_code=response.status_code,
            duration_ms=round((perf_counter() - began) * 1000, 3),
        )

    return served(app, repeating(get))


def glued_logger(stack: ExitStack) -> structlog.typing.FilteringBoundLogger:
    """Return a logger that writes JSON to the null device, set up as by hand."""
    nowhere = stack.enter_context(null_device())
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(nowhere),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )
    return logger


def _some(connection: socket.socket) -> bytes:
    received = connection.recv(65536)
    if not received:
        raise UnavailableError("the upstream hung up")
    return received


def _app_with_id() -> Flask:
    app = Flask("glued")

    @app.before_request
    def _bind() -> None:
        g.request_id = uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)

    app.teardown_request(lambda _: structlog.contextvars.clear_contextvars())
    return app


def _glued_attempt(stack: ExitStack) -> Callable[[str], requests.Response]:
    session = stack.enter_context(requests.Session())
    breaker = import_module("pybreaker").CircuitBreaker(fail_max=5, reset_timeout=60)
    passing = (requests.ConnectionError, requests.Timeout, requests.HTTPError)

    @tenacity.retry(
        stop=tenacity.stop_after_attempt(4),
        wait=tenacity.wait_exponential_jitter(initial=1, max=8),
        retry=tenacity.retry_if_exception_type(passing),
        reraise=True,
    )
    def attempt(url: str) -> requests.Response:
        response: requests.Response = breaker.call(send, url)
        return response

    def send(url: str) -> requests.Response:
        response = session.get(url, headers={ID_HEADER: g.request_id}, timeout=(3, 15))
        if response.status_code >= 500:
            response.raise_for_status()
        return response

    return attempt
