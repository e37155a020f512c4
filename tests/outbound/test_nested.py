"""Calls within calls: attempts of different layers do not multiply."""

from __future__ import annotations

import io
import threading
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import requests
from flask import Flask
from werkzeug.test import Client

from flask_resilience import CircuitBreakerPolicy, Resilience
from flask_resilience.testing import FakeClock, Reply

NO_BREAKER = CircuitBreakerPolicy(mode="disabled")


class InProcess(requests.adapters.BaseAdapter):
    """A transport that calls a WSGI app in the same process."""

    def __init__(self, app):
        super().__init__()
        self.client = Client(app)

    def send(self, request, **kwargs):
        """Ask the app."""
        came = self.client.open(request.path_url, method=request.method)
        answer = requests.Response()
        answer.status_code, answer.request, answer.url = came.status_code, request, request.url
        answer.raw = io.BytesIO(came.data)
        return answer

    def close(self):
        """Have nothing to close."""


class Silent(WSGIRequestHandler):
    """Serves without a word."""

    def log_message(self, *args):
        """Write nothing."""


@contextmanager
def served(app):
    """Serve *app* on a free port, in a thread, and give its address."""
    server = make_server("127.0.0.1", 0, app, handler_class=Silent)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_front(url, **settings):
    """Return an app whose view calls *url*, and lets a failure escape."""
    app = Flask("front")
    resilience = Resilience(
        app, clock=FakeClock(), storage_url="memory://", rate_limit="", log_format="off", **settings
    )

    @app.get("/")
    def view():
        answer = resilience.session.get(url)
        answer.raise_for_status()
        return answer.text

    return app


def test_client_within_a_clients_attempt_makes_one_attempt(make_session, make_upstream):
    """A view that calls a client that calls a client: 4 on the wire, not 16."""
    upstream = make_upstream(503)
    session = make_session(breaker=NO_BREAKER)
    session.mount("inner://", InProcess(make_front(upstream.url, breaker_mode="disabled")))
    assert session.get("inner://front/").status_code == 502
    assert len(upstream.requests) == 4


def test_call_of_an_auth_handler_is_made_once_an_attempt(make_session, make_upstream):
    """What a call does for its own authentication before an attempt is a call of its own."""
    tokens, upstream = make_upstream(200), make_upstream(503)
    session = make_session(breaker=NO_BREAKER)

    def authenticate(request):
        session.get(tokens.url)
        return request

    session.get(upstream.url, auth=authenticate)
    assert (len(tokens.requests), len(upstream.requests)) == (1, 4)


def test_service_that_tried_in_vain_is_not_asked_again(make_session, make_upstream):
    """Over HTTP, too: a service that has made its four attempts says so, and 4 it stays."""
    upstream = make_upstream(503)
    with served(make_front(upstream.url, breaker_mode="disabled")) as front:
        answer = make_session(breaker=NO_BREAKER).get(front)
    assert answer.status_code == 502
    assert answer.headers["X-Should-Retry"] == "false"
    assert answer.resilience.stop_reason == "told_not_to"
    assert len(upstream.requests) == 4


def test_what_was_tried_in_vain_is_told_all_the_way_up(make_session, make_upstream):
    """Of four services in a row only the one next to the failure makes four attempts."""
    upstream = make_upstream(503)
    off = {"breaker_mode": "disabled"}
    with (
        served(make_front(upstream.url, **off)) as near,
        served(make_front(near, **off)) as middle,
    ):
        make_session(breaker=NO_BREAKER).get(middle)
    assert len(upstream.requests) == 4


def test_service_that_tried_once_may_be_asked_again(make_session, make_upstream):
    """A failure that was not retried behind the service is retried before it."""
    upstream = make_upstream(503)
    with served(make_front(upstream.url, retry_attempts=1, breaker_mode="disabled")) as front:
        answer = make_session(breaker=NO_BREAKER).get(front)
    assert "X-Should-Retry" not in answer.headers
    assert len(upstream.requests) == 4


def test_redirect_is_no_retry(make_session, make_upstream):
    """A service that was sent elsewhere once, and failed there once, has not tried in vain."""
    failing = make_upstream(503)
    moved = make_upstream(Reply(status=302, headers={"Location": failing.url}))
    front = make_front(moved.url, retry_attempts=1)
    assert "X-Should-Retry" not in front.test_client().get("/").headers


@pytest.mark.parametrize("word", ["true", "", "no"])
def test_other_words_of_an_upstream_change_nothing(session, make_upstream, word):
    """Only ``false`` ends the attempts."""
    upstream = make_upstream(Reply(status=503, headers={"X-Should-Retry": word}), 200)
    assert session.get(upstream.url).resilience.attempts == 2
