"""One upstream's circuit in this process: stored, told of once, never waited for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flask_resilience import CircuitBreakerPolicy, CircuitOpenError
from flask_resilience.policies.breaker import CircuitBreaker
from flask_resilience.policies.circuit_breaker import State
from flask_resilience.policies.outcome import Outcome, Verdict
from flask_resilience.storage.memory import MemoryStorage

GOOD = Verdict(outcome=Outcome.SUCCESS, status=200)
BAD = Verdict(outcome=Outcome.FAILURE, failed=True, status=503)
TOO_MANY = Verdict(outcome=Outcome.SUCCESS, failed=True, status=429, fails_trial=True)


@pytest.fixture
def events():
    """Return the list that events go to."""
    return []


@pytest.fixture
def breaker(clock, events):
    """Return a breaker that opens at the second failure and recovers after 60 s."""
    policy = CircuitBreakerPolicy(failure_threshold=2, recovery_timeout=60)
    return CircuitBreaker("billing", policy, MemoryStorage(clock), events.append)


def trip(breaker):
    """Open the circuit."""
    for _ in range(2):
        breaker.record(breaker.admit(15.0), BAD)


def test_open_circuit_rejects_and_says_why(breaker, clock):
    """A rejection names the upstream, the time to wait and the last failure."""
    trip(breaker)
    clock.advance(10)
    with pytest.raises(CircuitOpenError) as raised:
        breaker.admit(15.0)
    assert raised.value.details == {
        "upstream": "billing",
        "retry_after": 50.0,
        "last_failure": "503",
    }
    assert breaker.rejects()


def test_each_transition_is_told_once(breaker, clock, events):
    """Opening, probing and closing each make one event, and nothing else does."""
    trip(breaker)
    clock.advance(60)
    breaker.record(breaker.admit(15.0), GOOD)
    breaker.record(breaker.admit(15.0), GOOD)
    told = [(one.from_state, one.to_state, one.reason, one.failures) for one in events]
    assert told == [
        ("closed", "open", "503", 2),
        ("open", "half_open", "recovery timeout over", 2),
        ("half_open", "closed", "trials succeeded", 2),
    ]
    assert [one.open_for for one in events] == [60.0, None, None]


def test_state_shows_that_time_has_passed(breaker, clock):
    """What is asked for is the state that a call would meet now."""
    trip(breaker)
    states = [breaker.state]
    clock.advance(60)
    assert [*states, breaker.state] == [State.OPEN, State.HALF_OPEN]


def test_too_many_requests_fails_a_trial_only(breaker, clock):
    """429 is a success while closed, and a failed trial while half open."""
    for _ in range(5):
        breaker.record(breaker.admit(15.0), TOO_MANY)
    assert breaker.state is State.CLOSED
    trip(breaker)
    clock.advance(60)
    breaker.record(breaker.admit(15.0), TOO_MANY)
    assert breaker.state is State.OPEN


def test_released_trial_leaves_room(breaker, clock):
    """A trial that came to nothing is handed back at once."""
    trip(breaker)
    clock.advance(60)
    breaker.release(breaker.admit(15.0))
    assert breaker.admit(15.0).trial == 2


def test_one_trial_over_many_threads(breaker, clock):
    """When the recovery time is over, exactly one of 16 callers at once gets through."""
    trip(breaker)
    clock.advance(60)
    ready = threading.Barrier(16)

    def call(_):
        ready.wait()
        try:
            return breaker.admit(15.0)
        except CircuitOpenError:
            return None

    with ThreadPoolExecutor(16) as pool:
        permits = [one for one in pool.map(call, range(16)) if one]
    assert len(permits) == 1


def test_no_failure_is_lost_between_threads(clock, events):
    """400 failures from 8 threads at once are counted as 400, and open the circuit once."""
    policy = CircuitBreakerPolicy(failure_threshold=400)
    breaker = CircuitBreaker("billing", policy, MemoryStorage(clock), events.append)
    permits = [breaker.admit(15.0) for _ in range(400)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda permit: breaker.record(permit, BAD), permits))
    assert [(one.to_state, one.failures) for one in events] == [("open", 400)]


def test_healthy_attempt_writes_nothing(breaker, clock):
    """A closed circuit with nothing to forget costs no write."""
    before = breaker.storage.read("billing").version
    breaker.record(breaker.admit(15.0), GOOD)
    assert breaker.storage.read("billing").version == before
