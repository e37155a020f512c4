"""A storage that is down: one caller notices, nobody waits, one line at each end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flask_resilience import StorageError
from flask_resilience.circuits.circuit_storage import ABSENT
from flask_resilience.events import StorageDegraded, StorageRecovered
from flask_resilience.policies.circuit import NEW
from flask_resilience.storage.guarded import GuardedCircuits
from flask_resilience.storage.memory import MemoryStorage
from flask_resilience.storage.outage import PROBE_TIMEOUT, Outage, start_thread


class Failing(MemoryStorage):
    """A storage that fails when it is told to, in reading, writing or both."""

    def __init__(self, clock):
        super().__init__(clock)
        self.fails = set()
        self.asked = 0

    def read(self, key):
        """Return what is held, or fail."""
        self._fail("read")
        return super().read(key)

    def compare_and_set(self, key, version, circuit, ttl):
        """Write, or fail."""
        self._fail("write")
        return super().compare_and_set(key, version, circuit, ttl)

    def _fail(self, kind):
        self.asked += 1
        if kind in self.fails:
            raise StorageError(self.address, "told to", "ConnectionRefusedError")


@pytest.fixture
def storage(clock):
    """Return a storage that works so far."""
    return Failing(clock)


@pytest.fixture
def events():
    """Return the list that events go to."""
    return []


@pytest.fixture
def probes():
    """Return the list of probes that were started and not yet run."""
    return []


@pytest.fixture
def guard(storage, clock, events, probes):
    """Return a guard whose probes a test runs by hand."""
    return guarded(storage, clock, events, probes.append)


def guarded(storage, clock, events, start):
    """Return circuits whose outage is told to *events* and probed by *start*."""
    outage = Outage(lambda: storage, clock, events.append, start=start)
    return GuardedCircuits(lambda: storage, outage)


def fails(guard, operations=1):
    """Say how many of so many readings fail."""
    failed = 0
    for _ in range(operations):
        try:
            guard.read("a")
        except StorageError:
            failed += 1
    return failed


def test_working_storage_is_passed_through(guard, storage):
    """What is written through the guard is in the storage, and the names are the storage's."""
    assert guard.compare_and_set("a", ABSENT, NEW, 60)[0]
    assert guard.read("a") == storage.read("a")
    assert (guard.name, guard.address, guard.shared) == ("memory", "memory://", False)


def test_outage_is_told_once_and_asked_about_once(guard, storage, events):
    """After the first failure nobody asks, and there is one warning."""
    storage.fails = {"read"}
    assert fails(guard, 100) == 100
    with pytest.raises(StorageError):
        guard.compare_and_set("a", ABSENT, NEW, 60)
    assert storage.asked == 1
    assert events == [
        StorageDegraded(
            storage="memory://",
            used_for="circuits",
            error_type="ConnectionRefusedError",
            error_message="told to",
        )
    ]


def test_threads_that_fail_together_are_one_outage(guard, storage, events, clock, probes):
    """Eight threads in the middle of an operation make one warning and no longer pause."""
    storage.fails = {"read"}
    errors = [StorageError("memory://", "told to")] * 8
    for error in errors:
        guard._outage._go_down(error)  # noqa: SLF001  # each as its own operation would
    assert len(events) == 1
    clock.advance(1)
    assert fails(guard) == 1
    assert len(probes) == 1


def test_return_is_told_once(guard, storage, clock, events, probes):
    """A probe that is written ends the outage, with how long it was."""
    storage.fails = {"read"}
    fails(guard)
    storage.fails = set()
    clock.advance(1.0)
    assert fails(guard, 3) == 3
    probes.pop()()
    assert probes == []
    assert fails(guard, 3) == 0
    assert events[1:] == [StorageRecovered(storage="memory://", used_for="circuits", down_for=1.0)]


def test_pauses_double_to_half_a_minute(guard, storage, clock, probes):
    """Probes follow after 1, 2, 4, 8, 16, 30 and 30 seconds."""
    storage.fails = {"read"}
    fails(guard)
    pauses = []
    for _ in range(7):
        waited = 0.0
        while not probes:
            clock.advance(0.5)
            waited += 0.5
            fails(guard)
        probes.pop()()
        pauses.append(waited)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def pause(guard, clock, probes):
    """Return after how many seconds an outage that goes on is probed next."""
    waited = 0.0
    while not probes:
        clock.advance(0.5)
        waited += 0.5
        fails(guard)
    return waited


def come_back(guard, storage, probes):
    """Let the probe that was started find that the storage works."""
    storage.fails = set()
    probes.pop()()
    assert fails(guard) == 0


def test_pauses_go_on_doubling_where_it_fails_again_soon(guard, storage, clock, probes):
    """A storage that only its probe finds well is not down and up each second."""
    pauses = []
    for _ in range(7):
        storage.fails = {"read"}
        fails(guard)
        pauses.append(pause(guard, clock, probes))
        come_back(guard, storage, probes)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(
    ("well_for", "expected"),
    [
        pytest.param(30.0, 2.0, id="half a minute"),
        pytest.param(30.5, 1.0, id="longer"),
    ],
)
def test_storage_that_was_well_for_long_is_probed_soon(
    guard, storage, clock, probes, well_for, expected
):
    """More than 30 seconds after it came back an outage is a new one."""
    storage.fails = {"read"}
    fails(guard)
    pause(guard, clock, probes)
    come_back(guard, storage, probes)
    clock.advance(well_for)
    storage.fails = {"read"}
    fails(guard)
    assert pause(guard, clock, probes) == expected


@pytest.mark.parametrize("kind", ["read", "write"])
def test_storage_that_only_reads_is_down(guard, storage, clock, events, probes, kind):
    """A storage that is full or read-only is not back because it answers."""
    storage.fails = {kind}
    with pytest.raises(StorageError):
        (guard.read if kind == "read" else lambda key: guard.compare_and_set(key, "", NEW, 60))("a")
    clock.advance(1)
    fails(guard)
    probes.pop()()
    assert fails(guard) == 1
    assert len(events) == 1


def test_probe_that_never_ends_is_given_up(guard, storage, clock, probes):
    """A probe that hung, or was lost in a fork, is followed by another."""
    storage.fails = {"read"}
    fails(guard)
    clock.advance(1)
    fails(guard, 5)
    assert len(probes) == 1
    clock.advance(PROBE_TIMEOUT)
    fails(guard)
    assert len(probes) == 2


def test_no_thread_to_be_had_is_no_error(storage, clock, events):
    """Where no thread can be started the outage merely goes on."""

    def refuse(probe):
        raise RuntimeError("can't start new thread")

    guard = guarded(storage, clock, events, refuse)
    storage.fails = {"read"}
    fails(guard)
    clock.advance(1)
    assert fails(guard, 3) == 3


def test_probe_runs_beside_the_caller(storage, clock, events):
    """In earnest, a probe is a thread that ends by itself."""
    started, ended = [], threading.Event()

    def start(probe):
        started.append(probe)
        start_thread(lambda: (probe(), ended.set()))

    guard = guarded(storage, clock, events, start)
    storage.fails = {"read"}
    fails(guard)
    storage.fails = set()
    clock.advance(1)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fails(guard), range(20)))
    assert ended.wait(20)
    assert fails(guard) == 0
    assert len(started) == 1
