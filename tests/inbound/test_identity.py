"""Which ID and which trace a request has, by what its headers say and how far they are trusted."""

from __future__ import annotations

import re

import pytest
from werkzeug.test import Client

from flask_resilience import ConfigurationError, RequestIDMiddleware
from flask_resilience.context import current_request
from flask_resilience.inbound.identity import Identification

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACED = {"HTTP_TRACEPARENT": f"00-{TRACE}-{PARENT}-01"}
WITH_ID = {"HTTP_X_REQUEST_ID": "visit-1"}
BY_TWO = {"HTTP_X_FORWARDED_FOR": "192.0.2.7, 10.0.0.1"}


def identify(environ, trust="any", proxies=0):
    """Return who a request with this environment is."""
    return Identification("HTTP_X_REQUEST_ID", trust, proxies).identify(environ)


def test_id_that_came_is_taken():
    """The client's ID is the request's."""
    found = identify(WITH_ID)
    assert (found.request_id, found.refused_id) == ("visit-1", None)


@pytest.mark.parametrize("value", [None, "", "two,headers", "x" * 129], ids=repr)
def test_new_trace_gives_the_id_that_did_not_come(value):
    """Without a good ID the request is known by the ID of its trace, which begins with it."""
    found = identify({} if value is None else {"HTTP_X_REQUEST_ID": value})
    assert found.request_id == found.span.trace_id
    assert re.fullmatch("[0-9a-f]{32}", found.request_id)
    assert found.span.parent_span_id is None


def test_trace_of_the_caller_is_continued():
    """The span of serving the request is a new one below the caller's."""
    span = identify({**TRACED, "HTTP_TRACESTATE": "foo=1"}).span
    assert span == (TRACE, span.span_id, PARENT, 1, "foo=1")
    assert span.span_id != PARENT


@pytest.mark.parametrize(
    ("trust", "proxies", "headers", "taken"),
    [
        pytest.param("any", 0, {}, True, id="any"),
        pytest.param("never", 2, BY_TWO, False, id="never"),
        pytest.param("proxy", 2, BY_TWO, True, id="by way of both proxies"),
        pytest.param("proxy", 1, BY_TWO, True, id="by way of more than the one"),
        pytest.param("proxy", 3, BY_TWO, False, id="by way of too few"),
        pytest.param("proxy", 1, {}, False, id="past the proxy"),
        pytest.param("proxy", 1, {"HTTP_X_FORWARDED_FOR": "unknown"}, False, id="no address"),
        pytest.param("proxy", 0, BY_TWO, False, id="no proxy is trusted"),
    ],
)
def test_id_is_taken_from_whom_it_is_trusted(trust, proxies, headers, taken):
    """An ID that is not trusted is kept aside, and the request has one of ours."""
    found = identify({**WITH_ID, **headers}, trust, proxies)
    if taken:
        assert (found.request_id, found.refused_id) == ("visit-1", None)
    else:
        assert (found.request_id, found.refused_id) == (found.span.trace_id, "visit-1")


def test_id_of_a_strangers_trace_is_no_trusted_id():
    """Where IDs are not trusted, the trace of the caller gives none either, but goes on."""
    found = identify({**WITH_ID, **TRACED}, "never")
    assert found.span.trace_id == TRACE
    assert re.fullmatch("[0-9a-f]{32}", found.request_id)
    assert found.request_id != TRACE


def test_malformed_id_that_is_not_trusted_is_forgotten():
    """Only what might have been an ID is kept aside."""
    assert identify({"HTTP_X_REQUEST_ID": "a b"}, "never").refused_id is None


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        pytest.param("trust", "all", id="unknown word"),
        pytest.param("trusted_proxies", -1, id="fewer than none"),
        pytest.param("trusted_proxies", True, id="no number"),
    ],
)
def test_wrong_trust_is_refused(argument, value):
    """The middleware says at once what it cannot go by."""
    with pytest.raises(ConfigurationError, match=argument):
        RequestIDMiddleware(None, **{argument: value})


def test_id_that_is_not_trusted_stands_on_every_line(make_app, log_lines):
    """Who looks for the client's ID finds the request by it."""
    app = make_app(request_id_trust="never")
    app.add_url_rule("/", "index", lambda: app.logger.warning("hello") or "")
    answer = app.test_client().get("/", headers={"X-Request-ID": "visit-1"})
    lines = log_lines()
    assert [one["event"] for one in lines] == ["hello", "http.server.request.finish"]
    assert {one["client_request_id"] for one in lines} == {"visit-1"}
    assert {one["request_id"] for one in lines} == {answer.headers["X-Request-ID"]} != {"visit-1"}


def test_lines_of_a_request_say_its_place_in_the_trace(make_app, log_lines):
    """Whatever is logged while a request is served has its trace, its span and its caller's."""
    app = make_app()
    app.add_url_rule("/", "index", lambda: app.logger.warning("hello") or "")
    app.test_client().get("/", headers={"traceparent": TRACED["HTTP_TRACEPARENT"]}).close()
    hello, finish = log_lines()
    assert (hello["trace_id"], hello["parent_span_id"]) == (TRACE, PARENT)
    names = ("request_id", "trace_id", "span_id", "parent_span_id")
    assert [hello[name] for name in names] == [finish[name] for name in names]


def test_request_that_begins_a_trace_has_no_parent(make_app, log_lines):
    """A field without a value is left out, also where the user has one of that name."""
    app = make_app()
    fields = {"trace_id": "mine", "span_id": "mine", "parent_span_id": "mine"}
    app.add_url_rule("/", "index", lambda: app.logger.warning("hello", extra=fields) or "")
    app.test_client().get("/").close()
    for line in log_lines():
        assert "parent_span_id" not in line
        assert "mine" not in (line["trace_id"], line["span_id"])
        if line["event"] == "hello":
            assert [line[f"user_{name}"] for name in fields] == ["mine"] * 3


def test_any_wsgi_app_knows_its_place_in_the_trace():
    """The middleware needs no Flask for it."""

    def app(environ, start_response):
        start_response("200 OK", [])
        return [current_request().span.parent_span_id.encode()]

    headers = {"traceparent": TRACED["HTTP_TRACEPARENT"]}
    answer = Client(RequestIDMiddleware(app)).get("/", headers=headers)
    assert answer.text == PARENT
