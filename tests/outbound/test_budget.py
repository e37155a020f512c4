"""Retries cost an upstream at most a share of its calls."""

from __future__ import annotations

import pytest
import requests

from flask_resilience import CircuitBreakerPolicy, RetryPolicy
from flask_resilience.events import RetryScheduled
from flask_resilience.testing import Reply

NO_BREAKER = CircuitBreakerPolicy(mode="disabled")


@pytest.mark.parametrize("fault", [None, "reset"])
def test_total_outage_sees_little_more_than_the_calls(make_session, make_upstream, fault):
    """1,000 GETs one after the other, without a breaker: at most 1,250 on the wire, not 4,000."""
    session = make_session(breaker=NO_BREAKER)
    upstream = make_upstream(Reply(status=503, fault=fault))
    for _ in range(1000):
        session.get(upstream.url, fallback="down")
    assert 1200 <= len(upstream.requests) <= 1250


def test_without_a_budget_every_retry_is_made(make_session, make_upstream):
    """``budget=None`` leaves the number of attempts as the only bound."""
    session = make_session(retry=RetryPolicy(budget=None), breaker=NO_BREAKER)
    upstream = make_upstream(503)
    for _ in range(20):
        session.get(upstream.url)
    assert len(upstream.requests) == 80


def test_empty_budget_returns_the_last_answer(make_session, make_upstream, clock, events):
    """Without a token left a call ends with its answer at once, and says why."""
    session = make_session(breaker=NO_BREAKER, retry=RetryPolicy(budget=0))
    upstream = make_upstream(503)
    for _ in range(4):
        answer = session.get(upstream.url)
    assert (answer.status_code, answer.resilience.attempts) == (503, 2)
    assert (answer.resilience.outcome, answer.resilience.stop_reason) == ("budget", "budget")
    slept = len(clock.slept)
    upstream.script = [Reply(fault="reset")]
    with pytest.raises(requests.ConnectionError):
        session.get(upstream.url)
    assert len(clock.slept) == slept
    left = [one.budget_left for one in events if isinstance(one, RetryScheduled)]
    assert left == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_rest_fills_the_budget_again(make_session, make_upstream, clock):
    """After a while without calls an upstream has its retries again."""
    session = make_session(breaker=NO_BREAKER)
    upstream = make_upstream(503)
    for _ in range(20):
        session.get(upstream.url)
    assert session.get(upstream.url).resilience.attempts < 4
    clock.advance(10)
    assert session.get(upstream.url).resilience.attempts == 4


def test_first_retry_of_what_was_not_sent_is_free(make_session):
    """A refused connection is tried once more even with nothing left to pay with."""
    session = make_session(breaker=NO_BREAKER, retry=RetryPolicy(budget=0))
    attempts = []
    for _ in range(8):
        with pytest.raises(requests.ConnectionError) as raised:
            session.get("http://127.0.0.1:9/")
        attempts.append(raised.value.resilience.attempts)
    assert attempts == [4, 4, 4, 4, 4, 2, 2, 2]


def test_one_upstreams_outage_takes_nothing_from_another(make_session, make_upstream):
    """Each upstream has a budget of its own."""
    session = make_session(breaker=NO_BREAKER)
    failing, other = make_upstream(503), make_upstream(503)
    for _ in range(20):
        session.get(failing.url)
    assert session.get(other.url).resilience.attempts == 4


def test_rejected_calls_earn_nothing(make_session, make_upstream):
    """Calls that an open circuit rejects cost the upstream nothing, and so earn no retries."""
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=1))
    upstream = make_upstream(500)
    for _ in range(500):
        session.get(upstream.url, fallback="down")
    assert session._guard.budgets.budget(upstream.url).left < 11  # noqa: SLF001  # not shown yet
