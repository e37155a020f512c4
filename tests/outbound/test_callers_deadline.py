"""Calls made for a request whose caller said how long it waits."""

from __future__ import annotations

import pytest
import requests

from flask_resilience import (
    CircuitBreakerPolicy,
    ClientOptions,
    DeadlineExceededError,
    Resilience,
    ResilientSession,
)
from flask_resilience.clock import SYSTEM_CLOCK
from flask_resilience.context import RequestContext, bind_request
from flask_resilience.testing import Reply

HEADER = "X-Request-Timeout-Ms"
SLOW = Reply(fault="hang")


@pytest.fixture
def waiting(clock):
    """Return what serves a request whose caller waits so many seconds, until the test is over."""

    def serve(seconds, of=clock):
        bind_request(RequestContext("visit-1", expires_at=of.monotonic() + seconds))

    yield serve
    bind_request(None)


def test_view_has_as_long_as_its_caller_waits(make_app, make_upstream, clock):
    """A call made while serving a request has the rest of what that request's caller waits."""
    app, seen = make_app(), []
    upstream = make_upstream(503)
    resilience = Resilience()

    @app.get("/")
    def view():
        clock.advance(1)
        answer = resilience.session.get(upstream.url)
        seen.append(answer.resilience)
        return "ok"

    app.test_client().get("/", headers={HEADER: "3000"})
    assert (seen[0].stop_reason, seen[0].attempts) == ("deadline", 2)
    app.test_client().get("/")
    assert seen[1].attempts == 3


def test_no_attempt_is_made_when_the_caller_is_gone(session, make_upstream, waiting, clock):
    """When the caller's time is over before a call begins, nothing is sent."""
    upstream = make_upstream(200)
    waiting(1)
    clock.advance(2)
    with pytest.raises(DeadlineExceededError):
        session.get(upstream.url)
    assert upstream.requests == []


def test_longer_wait_of_a_caller_lengthens_nothing(session, make_upstream, waiting):
    """A caller who waits a minute does not make a call's own deadline longer."""
    waiting(60)
    assert session.get(make_upstream(503).url, deadline=0.5).resilience.stop_reason == "deadline"


def test_hasty_callers_open_no_circuit(make_session, make_upstream, waiting):
    """An attempt that was cut short only by the caller's haste says nothing of the upstream."""
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=1), clock=SYSTEM_CLOCK)
    upstream = make_upstream(SLOW)
    for _ in range(2):
        waiting(0.2, of=SYSTEM_CLOCK)
        with pytest.raises(DeadlineExceededError):
            session.get(upstream.url)
    bind_request(None)
    upstream.script = [Reply()]
    assert session.get(upstream.url).status_code == 200


def test_attempt_that_had_its_own_time_counts(make_session, make_upstream, waiting):
    """An upstream that hangs for a whole timeout is slow, however long the caller waits."""
    session = make_session(
        ClientOptions(timeout=0.3),
        breaker=CircuitBreakerPolicy(failure_threshold=1),
        clock=SYSTEM_CLOCK,
    )
    waiting(0.3, of=SYSTEM_CLOCK)
    with pytest.raises(DeadlineExceededError) as raised:
        session.get(make_upstream(SLOW).url)
    assert raised.value.resilience.circuit_state == "open"


def test_failure_within_the_callers_time_counts(make_session, make_upstream, waiting):
    """A caller's deadline hides no failure that came before it."""
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=1))
    waiting(5)
    assert session.get(make_upstream(503).url).resilience.circuit_state == "open"


def test_own_deadline_that_cuts_an_attempt_counts(make_session, make_upstream):
    """A call's own deadline is what its maker finds long enough: not to keep it is a failure."""
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=1), clock=SYSTEM_CLOCK)
    with pytest.raises(DeadlineExceededError) as raised:
        session.get(make_upstream(SLOW).url, deadline=0.2)
    assert raised.value.resilience.circuit_state == "open"


def test_internal_client_is_told_how_long_each_attempt_may_take(make_session, make_upstream):
    """The time left goes to an internal client, with each attempt anew."""
    options = ClientOptions(internal=True, timeout=4, deadline=5)
    upstream = make_upstream(503, 503, 200)
    make_session(options).get(upstream.url)
    first, second, third = (int(one.headers[HEADER.lower()]) for one in upstream.requests)
    assert first == 4000
    assert 3800 <= second <= 4000
    assert 1400 <= third <= 2600


def test_only_internal_clients_are_told(session, make_upstream):
    """Strangers are not told how long this app waits."""
    upstream = make_upstream(200)
    session.get(upstream.url)
    assert HEADER.lower() not in upstream.requests[0].headers


def test_value_of_the_callers_own_is_kept(make_session, make_upstream):
    """A header that was given with the call is sent as it is."""
    upstream = make_upstream(200)
    make_session(ClientOptions(internal=True)).get(upstream.url, headers={HEADER: "7"})
    assert upstream.requests[0].headers[HEADER.lower()] == "7"


def test_call_ends_with_its_deadline(make_upstream):
    """DEADLINE 2 with attempts that time out at 1.5: over by 2.1 s and a little."""
    with ResilientSession(ClientOptions(timeout=1.5, deadline=2)) as session:
        with pytest.raises(requests.Timeout) as raised:
            session.get(make_upstream(SLOW).url)
        assert raised.value.resilience.attempts <= 2
