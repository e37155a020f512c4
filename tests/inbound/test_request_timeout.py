"""The time a caller says it will still wait: read, kept for the request, and kept to on arrival."""

from __future__ import annotations

import pytest
from flask import Response
from werkzeug.test import Client, EnvironBuilder

from flask_resilience import RequestIDMiddleware
from flask_resilience.context import current_request
from flask_resilience.events import RequestFinished
from flask_resilience.inbound.request_timeout import parse_request_timeout
from flask_resilience.testing import FakeClock

EXPIRED = {"X-Request-Timeout-Ms": "0", "X-Request-ID": "abc-1"}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param("1500", 1.5, id="milliseconds"),
        pytest.param("1", 0.001, id="one"),
        pytest.param(" \t250 ", 0.25, id="blanks around"),
        pytest.param("0", 0.0, id="zero"),
        pytest.param("000", 0.0, id="zeros"),
        pytest.param("0005000", 5.0, id="zeros before"),
        pytest.param("0" * 5000 + "7", 0.007, id="thousands of zeros before"),
        pytest.param("86400000", 86_400.0, id="a day"),
        pytest.param("86400001", 86_400.0, id="over a day"),
        pytest.param("100000000", 86_400.0, id="a digit more than a day"),
        pytest.param("9" * 400, 86_400.0, id="400 digits"),
        pytest.param("9" * 5000, 86_400.0, id="5,000 digits"),
    ],
)
def test_whole_milliseconds_are_read(value, seconds):
    """Decimal digits are milliseconds, of which more than a day is a day."""
    assert parse_request_timeout(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="missing"),
        pytest.param("", id="empty"),
        pytest.param("  ", id="blank"),
        pytest.param("-1", id="negative"),
        pytest.param("-0", id="minus zero"),
        pytest.param("+5", id="plus"),
        pytest.param("1.5", id="decimal point"),
        pytest.param("1e3", id="exponent"),
        pytest.param("1_000", id="underscore"),
        pytest.param("0x10", id="hexadecimal"),
        pytest.param("soon", id="text"),
        pytest.param("5,5", id="repeated header"),
        pytest.param("5 5", id="two numbers"),
        pytest.param("5\n", id="newline"),
        pytest.param("٣", id="digits of another script"),
        pytest.param("²", id="superscript"),
    ],
)
def test_anything_else_is_ignored(value):
    """What is not whole digits says nothing, and breaks nothing."""
    assert parse_request_timeout(value) is None


@pytest.mark.parametrize(
    ("headers", "expires_at"),
    [
        pytest.param({}, None, id="no header"),
        pytest.param({"X-Request-Timeout-Ms": "1500"}, 101.5, id="header"),
        pytest.param({"X-Request-Timeout-Ms": "never"}, None, id="bad header"),
    ],
)
def test_request_expires_when_its_caller_stops_waiting(headers, expires_at):
    """The request's context has the moment, by the middleware's clock, around any WSGI app."""
    clock, seen = FakeClock(100.0), []

    def plain(environ, start_response):
        clock.advance(1.0)
        seen.append(current_request().expires_at)
        start_response("200 OK", [])
        return []

    Client(RequestIDMiddleware(plain, clock=clock)).get("/", headers=headers)
    assert seen == [expires_at]


def test_stream_knows_when_its_request_expires(make_app, clock):
    """A body that is made after the view returned is bound to the same moment."""
    app, came = make_app(), clock.now

    @app.get("/")
    def index():
        return Response(str(current_request().expires_at - came) for _ in range(2))

    answer = app.test_client().get("/", headers={"X-Request-Timeout-Ms": "2000"})
    assert answer.text == "2.02.0"


def test_expired_request_is_answered_504_and_never_served(make_app, log_lines):
    """Neither a hook nor a view runs for a caller who waits no longer."""
    app, ran = make_app(), []
    app.before_request(lambda: ran.append("hook"))
    app.add_url_rule("/", "index", lambda: ran.append("view") or "")
    answer = app.test_client().get("/", headers=EXPIRED)
    assert (answer.status_code, ran) == (504, [])
    (line,) = log_lines()
    assert (line["event"], line["request_id"]) == ("http.server.request.finish", "abc-1")
    assert (line["http_response_status_code"], line["outcome"]) == (504, "server_error")


def called(environ, start_response):
    """Fail, for it shall not be called."""
    raise AssertionError("the app was called")


def test_expired_request_is_answered_with_a_problem():
    """The answer says which problem it is, and carries the ID once in its header and once within.

    The server is to have exceptions of the app; there is none.
    """
    wrapped = RequestIDMiddleware(called, propagate_errors=lambda: True)
    answer = Client(wrapped).get("/größe?q=1", headers=EXPIRED)
    assert answer.status == "504 GATEWAY TIMEOUT"
    assert answer.content_type == "application/problem+json"
    assert answer.headers.getlist("X-Request-ID") == ["abc-1"]
    expected = {"code": "DLN-001", "status": 504, "request_id": "abc-1", "instance": "/größe"}
    assert {name: answer.json[name] for name in expected} == expected


def test_expired_request_has_its_finish_and_no_failure():
    """One event tells of it, with the size of the answer and no exception."""
    events = []
    answer = Client(RequestIDMiddleware(called, on_event=events.append)).get("/", headers=EXPIRED)
    (finish,) = events
    assert isinstance(finish, RequestFinished)
    assert (finish.status, finish.outcome) == (504, "server_error")
    assert (finish.body_size, finish.error_type) == (len(answer.data), None)


def failing(environ, start_response):
    """Fail as an app would that nobody guards."""
    raise RuntimeError("outside")


@pytest.mark.parametrize(
    ("app", "headers", "status"),
    [
        pytest.param(called, EXPIRED, 504, id="expired"),
        pytest.param(failing, {}, 500, id="escaped exception"),
    ],
)
def test_answer_to_head_has_no_body(app, headers, status):
    """A problem that the middleware answers to HEAD has the header of a body, and none."""
    events, begun = [], []
    environ = EnvironBuilder(method="HEAD", headers=headers).get_environ()
    body = RequestIDMiddleware(app, on_event=events.append)(
        environ, lambda *args: begun.append(args)
    )
    chunks = list(body)
    body.close()
    ((line, answered),) = begun
    assert (line[:3], chunks) == (str(status), [])
    assert int(dict(answered)["Content-Length"]) > 100
    assert (events[-1].outcome, events[-1].body_size) == ("server_error", 0)


def test_request_with_time_left_is_served(make_app):
    """A caller who waits one more millisecond is served as any other."""
    app = make_app()
    app.add_url_rule("/", "index", lambda: "served")
    answer = app.test_client().get("/", headers={"X-Request-Timeout-Ms": "1"})
    assert (answer.status_code, answer.text) == (200, "served")
