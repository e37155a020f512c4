"""Where OpenTelemetry has an active span, its IDs are used, and nothing is told twice.

The facts are held against a stand-in with the few names that are looked at, and against
OpenTelemetry itself where it is installed.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from werkzeug.test import Client

from flask_resilience import RequestIDMiddleware, ResilientSession, configure_logging, get_logger
from flask_resilience.events import AttemptFinished, CallFinished
from flask_resilience.open_telemetry import active_span
from flask_resilience.telemetry.logging import EventLog
from flask_resilience.trace_context import Span, parse_traceparent

try:
    from opentelemetry.sdk.trace import TracerProvider
except ImportError:
    TracerProvider = None

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class StandInSpan:
    """A span as OpenTelemetry shows it."""

    trace_id: int
    span_id: int
    parent: StandInSpan | None = None
    trace_flags: int = 0x09
    is_valid: bool = True
    state: str = "foo=1"
    trace_state: object = field(init=False)

    def __post_init__(self):
        self.trace_state = SimpleNamespace(to_header=lambda: self.state)

    def get_span_context(self):
        """Return its IDs."""
        return self


NO_SPAN = StandInSpan(0, 0, is_valid=False)


@pytest.fixture
def stand_in(monkeypatch):
    """Return what makes a span of the stand-in the active one."""
    active = [NO_SPAN]
    module = SimpleNamespace(get_current_span=lambda: active[-1])
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", module)

    @contextmanager
    def activate():
        before = active[-1]
        parent = before if before.is_valid else None
        span = StandInSpan(parent.trace_id if parent else 0xABC, len(active) + 0x10, parent)
        active.append(span)
        yield span
        active.pop()

    return activate


@pytest.fixture
def real():
    """Return what makes a span of OpenTelemetry the active one."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("tests")
    return lambda: tracer.start_as_current_span("span")


@pytest.fixture(params=["stand_in", "real"] if TracerProvider else ["stand_in"])
def activate(request):
    """Return what makes a new span the active one while a block runs."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def events():
    """Return the list that the session's events go to."""
    return []


@pytest.fixture
def session(clock, events):
    """Return a session on a clock that only tests turn."""
    with ResilientSession(clock=clock, on_event=events.append) as session:
        yield session


def ids(span):
    """Return the IDs of a span of OpenTelemetry."""
    known = span.get_span_context()
    return f"{known.trace_id:032x}", f"{known.span_id:016x}"


def test_no_span_is_active(activate):
    """Where OpenTelemetry is there and traces nothing, there is no span."""
    assert active_span() is None


def test_active_span(activate):
    """Its IDs, and those of its parent, are what is known of it."""
    with activate() as outer:
        assert active_span()[:3] == (*ids(outer), None)
        with activate() as inner:
            assert active_span()[:3] == (*ids(inner), ids(outer)[1])
    assert active_span() is None


def test_flags_and_state_are_those_of_the_span(stand_in):
    """Unknown flags are left out."""
    with stand_in():
        assert active_span() == Span(f"{0xABC:032x}", f"{0x11:016x}", None, 1, "foo=1")


def test_half_imported_module_has_no_span(monkeypatch):
    """While another thread imports OpenTelemetry, nothing breaks."""
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", SimpleNamespace())
    assert active_span() is None


def test_it_is_never_imported():
    """The package does not import OpenTelemetry, wherever it is installed."""
    code = (
        "import sys, flask_resilience as f; f.ResilientSession().close();"
        "from flask_resilience.open_telemetry import active_span; active_span();"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_attempts_tell_the_upstream_of_the_active_span(activate, session, events, make_upstream):
    """The span of OpenTelemetry is the parent of what the upstream does, and is on the lines."""
    upstream = make_upstream(503, 200)
    with activate() as span:
        session.get(upstream.url)
    told = [parse_traceparent(one.headers["traceparent"]) for one in upstream.requests]
    assert [(one.trace_id, one.span_id) for one in told] == [ids(span)] * 2
    spans = [one.span for one in events if isinstance(one, AttemptFinished | CallFinished)]
    assert [(one.trace_id, one.span_id) for one in spans] == [ids(span)] * 3


def test_header_of_an_instrumentation_is_left(activate, session, events, make_upstream):
    """What instruments requests has set the header already: it stays, alone, and is on the line."""
    upstream = make_upstream(200)
    with activate() as outer:
        child = Span(*ids(outer)).child()
        session.get(upstream.url, headers={"traceparent": child.traceparent})
    assert upstream.requests[0].headers["traceparent"] == child.traceparent
    assert events[0].span[:3] == (*ids(outer)[:1], child.span_id, ids(outer)[1])


def hello(environ, start_response):
    """Answer."""
    start_response("200 OK", [])
    return []


def test_request_within_a_span_is_that_span(activate):
    """A span around the middleware is the span of serving the request, and gives its ID."""
    with activate() as span:
        answer = Client(RequestIDMiddleware(hello)).get("/", headers={"traceparent": GOOD})
    assert answer.headers["X-Request-ID"] == ids(span)[0]


def test_span_gives_no_id_where_ids_are_not_trusted(activate):
    """Whose trace it is, OpenTelemetry does not always tell."""
    with activate() as span:
        answer = Client(RequestIDMiddleware(hello, trust="never")).get("/")
    assert answer.headers["X-Request-ID"] != ids(span)[0]


def test_span_begun_within_the_app_is_on_the_lines(activate, log_lines):
    """It is on those written meanwhile, and on the finish line, though it is over by then."""
    configure_logging()
    spans = []

    def traced(environ, start_response):
        with activate() as span:
            spans.append(ids(span))
            get_logger("app").info("hello")
            return hello(environ, start_response)

    app = RequestIDMiddleware(traced, on_event=EventLog("INFO", "app"))
    Client(app).get("/", headers={"X-Request-ID": "visit-1"}).close()
    lines = log_lines()
    assert [one["event"] for one in lines] == ["hello", "http.server.request.finish"]
    assert [(one["trace_id"], one["span_id"]) for one in lines] == spans * 2
    assert {one["request_id"] for one in lines} == {"visit-1"}
