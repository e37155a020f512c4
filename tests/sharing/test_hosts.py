"""More upstreams than circuits are kept: what is open stays, in the process and in the storage."""

from __future__ import annotations

from contextlib import closing

import pytest

from flask_resilience import CircuitBreakerPolicy
from flask_resilience.circuits.registry import MOST_CIRCUITS, BreakerRegistry
from flask_resilience.policies.circuit import State
from flask_resilience.storage.memory import MemoryStorage
from flask_resilience.storage.sqlite import SQLiteStorage
from tests.circuits.attempts import BAD, attempt, trip

SICK = [f"sick-{number}" for number in range(100)]
POLICY = CircuitBreakerPolicy(failure_threshold=2, recovery_timeout=600)


@pytest.fixture
def memory(clock):
    """Return a storage in memory."""
    return MemoryStorage(clock)


@pytest.fixture
def file(tmp_path, clock):
    """Return a storage in a file."""
    with closing(SQLiteStorage(tmp_path / "shop.sqlite3", clock=clock)) as storage:
        yield storage


@pytest.mark.parametrize(("kind", "count"), [("memory", 5000), ("file", 2000)])
def test_a_thousand_are_kept_and_all_that_are_open(request, clock, kind, count):
    """A hundred circuits that opened first outlast thousands of others that each failed once."""
    storage = request.getfixturevalue(kind)
    registry = BreakerRegistry(storage, clock, [].append)
    sick = [registry.breaker(host, POLICY) for host in SICK]
    for breaker in sick:
        trip(breaker)
    hosts = [f"host-{number}" for number in range(count - len(SICK))]
    for host in hosts:
        attempt(registry.breaker(host, POLICY), BAD)
    kept = [one for one in SICK + hosts if storage.read(one).circuit is not None]
    assert len(registry) == len(kept) == MOST_CIRCUITS
    assert kept[: len(SICK)] == SICK
    assert [registry.breaker(host, POLICY) for host in SICK] == sick
    assert {breaker.state for breaker in sick} == {State.OPEN}
