"""A trace that goes through a service: what comes in with a request goes out with its calls.

The rules are those of W3C Trace Context, Level 2; the service answers by calling out.
"""

from __future__ import annotations

import re

import pytest

from flask_resilience import Resilience, current_request_id
from flask_resilience.trace_context import parse_traceparent

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{PARENT}-01"
SENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]")


@pytest.fixture
def service(make_app, make_upstream):
    """Return an app whose view calls an upstream, and that upstream."""
    upstream, resilience = make_upstream(200), Resilience()
    app = make_app()

    @app.get("/")
    def index():
        for _ in range(3):
            resilience.session.get(upstream.url)
        return current_request_id()

    return app, upstream


def passed_on(service, *headers):
    """Return the first of the calls that the service makes for a request with these headers."""
    app, upstream = service
    app.test_client().get("/", headers=list(headers))
    for request in upstream.requests:
        assert SENT.fullmatch(request.headers["traceparent"])
    return upstream.requests[0].headers


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("traceparent", GOOD)], id="first version"),
        pytest.param([("TraceParent", GOOD)], id="name in other letters"),
        pytest.param([("traceparent", f" \t{GOOD}\t ")], id="blanks around it"),
        pytest.param([("traceparent", f"cc{GOOD[2:]}-more")], id="later version"),
        pytest.param([("traceparent", GOOD), ("tracestate", "Bad=1")], id="malformed tracestate"),
    ],
)
def test_trace_is_continued(service, headers):
    """A call belongs to the trace of the request, and has another parent than the request had."""
    sent = parse_traceparent(passed_on(service, *headers)["traceparent"])
    assert sent.trace_id == TRACE
    assert sent.span_id != PARENT


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="none"),
        pytest.param([("traceparent", f"ff{GOOD[2:]}")], id="forbidden version"),
        pytest.param([("traceparent", f"{GOOD}-more")], id="first version with more fields"),
        pytest.param([("traceparent", GOOD.upper())], id="capitals"),
        pytest.param([("traceparent", f"00-{'0' * 32}-{PARENT}-01")], id="trace ID of zeros"),
        pytest.param([("traceparent", f"00-{TRACE}-{'0' * 16}-01")], id="parent ID of zeros"),
        pytest.param([("traceparent", GOOD), ("traceparent", GOOD)], id="repeated"),
        pytest.param([("trace-parent", GOOD)], id="name with a dash"),
        pytest.param([("trace.parent", GOOD)], id="name with a dot"),
    ],
)
def test_trace_begins_anew(service, headers):
    """Without a well-formed traceparent a call belongs to a new trace, and any state is dropped."""
    sent = passed_on(service, *headers, ("tracestate", "foo=1"))
    assert parse_traceparent(sent["traceparent"]).trace_id not in (TRACE, "0" * 32)
    assert "tracestate" not in sent


@pytest.mark.parametrize(
    ("came", "went"),
    [
        pytest.param("00", "00", id="neither"),
        pytest.param("01", "01", id="sampled"),
        pytest.param("02", "02", id="random"),
        pytest.param("03", "03", id="both"),
        pytest.param("fc", "00", id="reserved ones"),
    ],
)
def test_known_flags_are_passed_on(service, came, went):
    """What the caller said of sampling and of its ID's randomness is said again, and no more."""
    assert passed_on(service, ("traceparent", GOOD[:-2] + came))["traceparent"][-2:] == went


@pytest.mark.parametrize(
    ("values", "went"),
    [
        pytest.param(["foo=1,bar=2"], "foo=1,bar=2", id="one header"),
        pytest.param(["foo=1,bar=2", "baz=3"], "foo=1,bar=2,baz=3", id="several"),
        pytest.param(["foo=1", ""], "foo=1", id="an empty one more"),
        pytest.param([""], None, id="empty"),
        pytest.param(["foo=1", "foo=2"], "foo=1", id="key twice"),
        pytest.param(["foo=1,Bad=2"], None, id="malformed"),
    ],
)
def test_state_is_passed_on(service, values, went):
    """What other systems have to say goes along, in one header, unless it is malformed or empty."""
    headers = [("tracestate", value) for value in values]
    assert passed_on(service, ("traceparent", GOOD), *headers).get("tracestate") == went


def test_each_call_has_a_span_of_its_own(service):
    """Calls made for one request are in one trace, and no two have the same span."""
    passed_on(service)
    sent = [parse_traceparent(one.headers["traceparent"]) for one in service[1].requests]
    assert len({one.trace_id for one in sent}) == 1
    assert len({one.span_id for one in sent}) == 3


def test_request_without_an_id_is_known_by_its_trace(service):
    """The trace's ID serves as the request's, if none came."""
    client = service[0].test_client()
    assert client.get("/", headers={"traceparent": GOOD}).text == TRACE
    assert client.get("/", headers={"traceparent": GOOD, "X-Request-ID": "visit-1"}).text == (
        "visit-1"
    )


def test_two_services_are_joined_by_the_span_of_the_attempt(service, make_app, log_lines):
    """The span of an attempt in one log is the parent of a request in the other's."""
    app, upstream = service
    app.test_client().get("/", headers={"traceparent": GOOD})
    (ours,) = log_lines("http.server.request.finish")
    assert (ours["trace_id"], ours["parent_span_id"]) == (TRACE, PARENT)
    other = make_app("stock").test_client()
    for request in upstream.requests:
        other.get("/", headers={"traceparent": request.headers["traceparent"]})
    spans = [parse_traceparent(one.headers["traceparent"]).span_id for one in upstream.requests]
    theirs = log_lines("http.server.request.finish")
    assert [one["parent_span_id"] for one in theirs] == spans
    assert {one["trace_id"] for one in theirs} == {TRACE}
