"""Memory: what goes when there is no more room."""

from __future__ import annotations

import pytest

from flask_resilience.circuits.circuit_storage import ABSENT
from flask_resilience.policies.circuit import Circuit
from flask_resilience.storage.memory import MemoryStorage
from tests.servers import run_python

FORK = """
import os, threading
from flask_resilience.clock import SystemClock
from flask_resilience.storage.memory import MemoryStorage

inside, forked = threading.Event(), threading.Event()

class Slow(SystemClock):
    def monotonic(self):
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            forked.wait(20)
        return super().monotonic()

storage = MemoryStorage(Slow())
thread = threading.Thread(target=storage.read, args=["a"])
thread.start()
inside.wait(20)
import warnings
warnings.simplefilter("ignore")  # a fork beside a thread is what this is about
if os.fork() == 0:
    storage.read("a")
    os._exit(0)
print(os.waitstatus_to_exitcode(os.wait()[1]))
forked.set()
thread.join()
"""


@pytest.fixture
def storage(clock):
    """Return a storage with room for three circuits."""
    return MemoryStorage(clock, capacity=3)


def held(storage):
    """Return which of the keys are held."""
    return [key for key in "abcdef" if storage.read(key).version != ABSENT]


def put(storage, key, ttl):
    """Write a circuit that lives for *ttl* seconds."""
    assert storage.compare_and_set(key, storage.read(key).version, Circuit(), ttl)[0]


def test_first_to_expire_goes_first(storage):
    """Past the capacity goes what would expire first, however late it came."""
    for key, ttl in (("a", 40.0), ("b", 20.0), ("c", 30.0), ("d", 10.0), ("e", 50.0)):
        put(storage, key, ttl)
    assert held(storage) == ["a", "c", "e"]


def test_expired_circuits_make_room(storage, clock):
    """What expired goes before anything that is still held."""
    for key, ttl in (("a", 5.0), ("b", 6.0), ("c", 30.0)):
        put(storage, key, ttl)
    clock.advance(7)
    put(storage, "d", 20.0)
    put(storage, "e", 20.0)
    assert held(storage) == ["c", "d", "e"]


def test_writing_again_needs_no_room(storage):
    """A key that is held is written in its own place."""
    for key in "abcca":
        put(storage, key, 10.0)
    assert held(storage) == ["a", "b", "c"]


def test_time_looks_like_the_wall_clocks(clock):
    """The time begins as the wall clock's and goes on as the monotonic one's."""
    clock.wall = lambda: 1_700_000_000.0
    storage = MemoryStorage(clock)
    clock.wall = lambda: 0.0
    clock.advance(3)
    assert storage.read("a").now == 1_700_000_003.0


def test_lock_held_during_a_fork_does_not_outlive_it():
    """A forked process can use a storage that a thread of its parent was just using."""
    assert run_python(FORK, timeout=30) == "0\n"
