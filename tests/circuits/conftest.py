"""Storages and circuits that tests look into."""

from __future__ import annotations

import pytest

from flask_resilience import CircuitBreakerPolicy, StorageError
from flask_resilience.circuits.breaker import CircuitBreaker
from flask_resilience.storage.memory import MemoryStorage


class WatchedStorage(MemoryStorage):
    """A storage that others share, which counts what it is asked and fails when it is told to."""

    name = "watched"
    shared = True

    def __init__(self, clock):
        super().__init__(clock)
        self.operations = []
        self.failing = False

    def read(self, key):
        """Return what is held, and note that it was asked."""
        self._note("read")
        return super().read(key)

    def compare_and_set(self, key, version, circuit, ttl):
        """Write, and note that it was asked."""
        self._note("write")
        return super().compare_and_set(key, version, circuit, ttl)

    def _note(self, operation):
        self.operations.append(operation)
        if self.failing:
            raise StorageError(self.address, "told to fail")


@pytest.fixture
def events():
    """Return the list that events go to."""
    return []


@pytest.fixture
def storage(clock):
    """Return an empty storage."""
    return WatchedStorage(clock)


@pytest.fixture
def make_breaker(clock, events, storage):
    """Return what makes a breaker, as each of several processes has one."""

    def make(name="billing", **policy):
        policy = CircuitBreakerPolicy(**{"failure_threshold": 2, **policy})
        return CircuitBreaker(name, policy, storage, clock, events.append)

    return make


@pytest.fixture
def breaker(make_breaker):
    """Return a breaker that opens at the second failure and recovers after 60 to 66 s."""
    return make_breaker()
