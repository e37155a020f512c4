"""What every storage must do: read, and compare-and-set."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from flask_resilience.policies.circuit_breaker import Circuit, State
from flask_resilience.storage.memory import MemoryStorage


@pytest.fixture(params=[pytest.param(MemoryStorage, id="memory")])
def storage(request, clock):
    """Return an empty storage of each kind."""
    return request.param(clock)


def test_unknown_key_is_absent(storage):
    """A key nobody wrote has no value."""
    assert storage.read("nobody").circuit is None


def test_written_value_is_read(storage):
    """What was accepted is what is read."""
    circuit = Circuit(state=State.OPEN, failures=5, last_failure="503")
    assert storage.compare_and_set("a", storage.read("a").version, circuit, 60.0) is None
    assert storage.read("a").circuit == circuit


def test_stale_version_is_refused_with_what_is_held(storage):
    """Who comes second is given the value that came first."""
    version = storage.read("a").version
    storage.compare_and_set("a", version, Circuit(failures=1), 60.0)
    held = storage.compare_and_set("a", version, Circuit(failures=9), 60.0)
    assert held.circuit == Circuit(failures=1)
    assert storage.compare_and_set("a", held.version, Circuit(failures=2), 60.0) is None


def test_keys_are_apart(storage):
    """Writing one key leaves the others as they were."""
    storage.compare_and_set("a", storage.read("a").version, Circuit(failures=1), 60.0)
    assert storage.read("b").circuit is None


def test_value_is_gone_after_its_time(storage, clock):
    """A value nobody writes again is kept for its time to live and no longer."""
    version = storage.read("a").version
    storage.compare_and_set("a", version, Circuit(failures=1), 60.0)
    clock.advance(59.9)
    assert storage.read("a").circuit is not None
    clock.advance(0.1)
    assert storage.read("a").circuit is None


def test_version_of_a_value_that_is_gone_is_refused(storage, clock):
    """An expired value cannot be taken for the one written after it."""
    storage.compare_and_set("a", storage.read("a").version, Circuit(failures=1), 1.0)
    old = storage.read("a").version
    clock.advance(2)
    storage.compare_and_set("a", storage.read("a").version, Circuit(failures=2), 60.0)
    assert storage.compare_and_set("a", old, Circuit(failures=3), 60.0) is not None


def test_time_is_the_storages(storage, clock):
    """Every reading tells the storage's time."""
    before = storage.read("a").now
    clock.advance(5)
    assert storage.read("a").now - before == pytest.approx(5)


def test_only_one_of_many_writers_wins(storage):
    """Of 200 writers with the same version exactly one is accepted."""
    version = storage.read("a").version

    def write(number):
        return storage.compare_and_set("a", version, Circuit(failures=number + 1), 60.0) is None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(200))) == 1
