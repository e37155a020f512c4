"""The circuit breakers of an app: one for each upstream, and never too many."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from flask_resilience import CircuitBreakerPolicy
from flask_resilience.circuits.registry import BreakerRegistry
from flask_resilience.policies.circuit import State
from tests.circuits.attempts import attempt, trip

POLICY = CircuitBreakerPolicy(failure_threshold=2)


@pytest.fixture
def registry(storage, clock, events):
    """Return a registry of at most five circuits."""
    return BreakerRegistry(storage, clock, events.append, capacity=5)


def test_upstream_has_one_breaker(registry):
    """Asked again, the registry gives the same breaker; another upstream has another."""
    assert registry.breaker("a", POLICY) is registry.breaker("a", POLICY)
    assert registry.breaker("a", POLICY) is not registry.breaker("b", POLICY)


def test_policy_of_its_own_shares_the_circuit(registry, clock):
    """Two policies before one upstream are two breakers with one circuit."""
    other = registry.breaker("a", CircuitBreakerPolicy(failure_threshold=7))
    trip(registry.breaker("a", POLICY))
    clock.advance(1)
    assert other.policy.failure_threshold == 7
    assert other.state is State.OPEN


def test_threads_get_one_breaker(registry):
    """Eight threads that ask at once are given the same breaker."""
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: registry.breaker("a", POLICY), range(100)))
    assert len({id(one) for one in found}) == 1


def test_least_used_closed_one_goes_first(registry):
    """Past the capacity the one that was not asked for the longest is dropped."""
    kept = {name: registry.breaker(name, POLICY) for name in "abcde"}
    registry.breaker("a", POLICY)
    registry.breaker("f", POLICY)
    assert len(registry) == 5
    assert registry.breaker("a", POLICY) is kept["a"]
    assert registry.breaker("b", POLICY) is not kept["b"]


def test_open_ones_stay(registry):
    """However many hosts are called, a circuit that is open is not dropped."""
    opened = registry.breaker("down", POLICY)
    trip(opened)
    for number in range(5000):
        attempt(registry.breaker(f"host {number}", POLICY))
    assert len(registry) == 5
    assert registry.breaker("down", POLICY) is opened


def test_full_of_open_ones_it_still_keeps_its_size(registry):
    """When all are open the oldest goes, for the size is a promise."""
    for number in range(20):
        trip(registry.breaker(f"host {number}", POLICY))
    assert len(registry) == 5
