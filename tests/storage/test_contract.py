"""What every storage must do: read, and compare-and-set."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flask_resilience.circuits.circuit_storage import ABSENT
from flask_resilience.policies.circuit import Circuit, Control, Mode, State, Transition, Trial
from flask_resilience.policies.window import Bucket, Window
from flask_resilience.testing import FakeClock
from tests.servers import run_python

FULL = Circuit(
    state=State.HALF_OPEN,
    generation=7,
    window=Window((Bucket(1_700_000_001.5, 3, 2, 1), Bucket(1_700_000_002.0, 0, 5))),
    failures=5,
    successes=1,
    since=1_700_000_000.1,
    open_until=1_700_000_030.3,
    reopened=2,
    trials=(Trial(1, 1_700_000_031.7), Trial(2, 1_700_000_032.9)),
    trials_started=2,
    last_failure="503 „Überlast“ \ud83d",
    last_failure_at=1_700_000_000.2,
    rejected=123,
    control=Control(Mode.OBSERVE, "ana", "a new release", 1_700_003_600.5),
    transitions=(
        Transition(
            generation=6,
            from_state=State.CLOSED,
            to_state=State.OPEN,
            at=1_700_000_000.2,
            reason="failures in a row",
            actor="ana",
            calls=10,
            failures=5,
            failure_rate=1 / 3,
            slow_rate=0.1,
            open_for=30.1,
        ),
    ),
)
TTL = 60.0
SHORT = 0.2
RACE = """
import os, sys, time
from flask_resilience.errors import StorageError
from flask_resilience.policies.circuit import Circuit
from flask_resilience.storage.url import open_storage

storage = open_storage(sys.argv[1], namespace="shop")
storage.read("the file is there, the script is loaded")

def write(key):
    while True:
        try:
            return storage.compare_and_set(key, "", Circuit(), 60.0)[0]
        except StorageError as error:  # a file that is locked for longer, on a slow machine
            assert "locked" in str(error), error

begin = time.monotonic() + 0.1
pids = []
for _ in range(8):
    pid = os.fork()
    if pid == 0:
        won = 0
        for turn in range(25):
            while time.monotonic() < begin + 0.02 * turn:
                pass
            won += write(f"race {turn}")
        os._exit(won)
    pids.append(pid)
print(sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids))
storage.close()
"""
FORK = """
import os, sys
from flask_resilience.policies.circuit import Circuit
from flask_resilience.storage.url import open_storage

storage = open_storage(sys.argv[1], namespace="shop")
version = storage.compare_and_set("a", "", Circuit(failures=1), 60.0)[1].version
if os.fork() == 0:
    done, held = storage.compare_and_set("a", version, Circuit(failures=2), 60.0)
    storage.close()
    os._exit(0 if done else 1)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
print(storage.read("a").circuit.failures)
storage.close()
"""
GREENLETS = """
from gevent import monkey; monkey.patch_all()
import sys, gevent
from flask_resilience.policies.circuit import Circuit
from flask_resilience.storage.url import open_storage

storage = open_storage(sys.argv[1], namespace="shop")

def add_one():
    done = False
    while not done:
        held = storage.read("a")
        failures = held.circuit.failures if held.circuit else 0
        gevent.sleep(0)
        done, _ = storage.compare_and_set("a", held.version, Circuit(failures=failures + 1), 60.0)

gevent.joinall([gevent.spawn(add_one) for _ in range(40)], raise_error=True)
print(storage.read("a").circuit.failures)
storage.close()
"""


@pytest.fixture
def storage(place):
    """Return an empty storage of each kind."""
    return place.make()


def put(storage, key, circuit, ttl=TTL):
    """Write *circuit* over what is held, and return its version."""
    accepted, held = storage.compare_and_set(key, storage.read(key).version, circuit, ttl)
    assert accepted
    return held.version


def test_unknown_key_is_absent(storage):
    """A key nobody wrote has no value."""
    reading = storage.read("nobody")
    assert (reading.circuit, reading.version) == (None, ABSENT)


def test_written_value_is_read(storage):
    """What was accepted is returned, and read, under one version."""
    accepted, written = storage.compare_and_set("a", ABSENT, Circuit(failures=5), TTL)
    read = storage.read("a")
    assert accepted
    assert read.circuit == written.circuit == Circuit(failures=5)
    assert read.version == written.version != ABSENT


def test_every_field_survives(storage):
    """A circuit comes back as it was, in all its fields."""
    put(storage, "a", FULL)
    assert storage.read("a").circuit == FULL


def test_stale_version_is_refused_with_what_is_held(storage):
    """Who comes second is given the value that came first, and can go on from it."""
    old = put(storage, "a", Circuit(failures=1))
    put(storage, "a", Circuit(failures=2))
    accepted, held = storage.compare_and_set("a", old, Circuit(failures=9), TTL)
    assert (accepted, held.circuit) == (False, Circuit(failures=2))
    assert storage.compare_and_set("a", held.version, Circuit(failures=3), TTL)[0]


def test_what_is_held_is_not_taken_for_absent(storage):
    """Who thinks there is nothing does not overwrite what there is."""
    put(storage, "a", Circuit(failures=1))
    assert not storage.compare_and_set("a", ABSENT, Circuit(), TTL)[0]


def test_no_version_comes_twice(storage):
    """Equal values written one after another have versions of their own."""
    versions = [put(storage, "a", Circuit()) for _ in range(50)]
    assert len(set(versions)) == 50


@pytest.mark.parametrize(
    "other",
    [
        pytest.param("b", id="another"),
        pytest.param("", id="empty"),
        pytest.param("A", id="capital"),
        pytest.param("a:b", id="colon"),
        pytest.param("{a}", id="braces"),
        pytest.param("%61", id="percent"),
        pytest.param("a\x00", id="NUL"),
        pytest.param("ä\ud800\U0001f600", id="any character"),
        pytest.param("a" * 5000, id="long"),
    ],
)
def test_keys_are_apart(storage, other):
    """Any text is a key, and writing one leaves the others as they were."""
    put(storage, "a", Circuit(failures=1))
    assert storage.read(other).circuit is None
    put(storage, other, Circuit(failures=2))
    assert storage.read("a").circuit == Circuit(failures=1)
    assert storage.read(other).circuit == Circuit(failures=2)


@pytest.mark.parametrize(
    ("namespaces", "keys"),
    [
        pytest.param(("shop", "desk"), ("a", "a"), id="same key"),
        pytest.param(("shop", "shop:a"), ("a:b", "b"), id="colon in the namespace"),
        pytest.param(("", "é"), ("éa", "a"), id="empty"),
    ],
)
def test_namespaces_are_apart(shared_place, namespaces, keys):
    """Two namespaces in one place share nothing."""
    first, second = (shared_place.make(namespace=one) for one in namespaces)
    put(first, keys[0], Circuit(failures=1))
    assert second.read(keys[1]).circuit is None
    assert second.compare_and_set(keys[1], ABSENT, Circuit(failures=2), TTL)[0]
    assert first.read(keys[0]).circuit == Circuit(failures=1)


def test_two_storages_meet(shared_place):
    """What one storage writes another in the same place reads, under the same version."""
    version = put(shared_place.make(), "a", FULL)
    reading = shared_place.make().read("a")
    assert (reading.circuit, reading.version) == (FULL, version)


def test_value_is_gone_after_its_time(place, storage):
    """A value nobody writes again is kept for its time to live and no longer."""
    put(storage, "a", Circuit(failures=1), SHORT)
    assert storage.read("a").circuit is not None
    place.wait(SHORT + 0.02)
    assert storage.read("a").circuit is None
    assert storage.read("a").version == ABSENT


def test_writing_again_renews_the_time_to_live(place, storage):
    """The time to live counts from the last write."""
    put(storage, "a", Circuit(failures=1), SHORT)
    put(storage, "a", Circuit(failures=2), TTL)
    place.wait(SHORT + 0.02)
    assert storage.read("a").circuit == Circuit(failures=2)


def test_version_of_a_value_that_is_gone_is_refused(place, storage):
    """An expired value cannot be taken for nothing, nor for the one written after it."""
    old = put(storage, "a", Circuit(failures=1), SHORT)
    place.wait(SHORT + 0.02)
    accepted, held = storage.compare_and_set("a", old, Circuit(failures=3), TTL)
    assert (accepted, held.circuit, held.version) == (False, None, ABSENT)
    put(storage, "a", Circuit(failures=1))
    assert not storage.compare_and_set("a", old, Circuit(failures=3), TTL)[0]


def test_time_passes(place, storage):
    """Every reading tells the storage's time, in seconds."""
    before = storage.read("a").now
    place.wait(0.05)
    assert 0.05 <= storage.compare_and_set("a", ABSENT, Circuit(), TTL)[1].now - before + 1e-6 < 5


def test_time_never_goes_back(storage):
    """However reads and writes follow each other, the time they tell does not decrease."""
    times = []
    for _ in range(50):
        times += [storage.read("a").now, storage.compare_and_set("a", "no", Circuit(), TTL)[1].now]
    assert times == sorted(times)


def test_wall_clock_that_is_an_hour_off_reads_the_same_time(shared_place, clock):
    """Two workers tell the same time, though the wall clock of one is wrong."""
    off = FakeClock(clock.now)
    off.wall = lambda: clock.now + 3600
    first = shared_place.make().read("a").now
    second = shared_place.make(clock=off).read("a").now
    assert second - first == pytest.approx(0, abs=1)


def test_wall_clock_that_is_set_changes_nothing(place):
    """A storage's time goes on steadily when the host's clock is set."""
    clock = FakeClock()
    storage = place.make(clock=clock)
    before = storage.read("a").now
    clock.wall = lambda: 0.0
    assert storage.read("a").now - before == pytest.approx(0, abs=1)
    assert place.make(clock=clock).read("a").now >= 0


def test_only_one_of_many_threads_wins(storage):
    """Of 200 writers in 8 threads with the same version exactly one is accepted."""
    version = put(storage, "a", Circuit())

    def write(number):
        return storage.compare_and_set("a", version, Circuit(failures=number + 1), TTL)[0]

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(200))) == 1


def test_no_update_of_many_threads_is_lost(storage):
    """Threads that each add one until accepted add up to all of them."""
    start = threading.Barrier(8)

    def add_one(_):
        start.wait(20)
        done, held = False, storage.read("a")
        while not done:
            failures = held.circuit.failures if held.circuit else 0
            done, held = storage.compare_and_set(
                "a", held.version, Circuit(failures=failures + 1), TTL
            )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add_one, range(8)))
    assert storage.read("a").circuit.failures == 8


def test_only_one_of_many_processes_wins(shared_place):
    """Each of 25 races between 8 processes has exactly one winner."""
    assert run_python(RACE, shared_place.url) == "25\n"


def test_storage_survives_a_fork(shared_place):
    """A forked process goes on where its parent was, and the parent after it."""
    assert run_python(FORK, shared_place.url) == "2\n"


def test_storage_works_from_greenlets(shared_place):
    """Forty greenlets that each add one until accepted add up to forty."""
    assert run_python(GREENLETS, shared_place.url) == "40\n"


def test_storage_says_what_it_is(place, storage):
    """A storage tells its kind, its address without a password, and whether it is shared."""
    assert storage.address.partition("://")[0].partition("+")[0] == storage.name
    assert "s3cret" not in storage.address
    assert storage.shared is (storage.name != "memory")
