"""Any history is the same on every storage, and three breakers over one never break the rules."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count, pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flask_resilience import CircuitBreakerPolicy, CircuitOpenError, StorageError
from flask_resilience.circuits.breaker import LEASE_MARGIN, CircuitBreaker
from flask_resilience.policies.circuit import NEW, Mode, State
from flask_resilience.storage.memory import MemoryStorage
from flask_resilience.storage.redis import RedisStorage
from flask_resilience.storage.sqlite import SQLiteStorage
from flask_resilience.testing import FakeClock
from tests.circuits.attempts import BAD, GOOD, LET_GO, TOO_MANY

TIMEOUT = 15.0
POLICY = CircuitBreakerPolicy(
    failure_threshold=3,
    minimum_calls=6,
    window=3600,
    trials=2,
    success_threshold=2,
    recovery_multiplier=1.5,
)
BREAKERS = st.integers(0, 2)
STEPS = st.one_of(
    st.tuples(st.just("attempt"), BREAKERS, st.sampled_from([GOOD, GOOD, BAD, TOO_MANY])),
    st.tuples(st.just("attempt"), BREAKERS, st.sampled_from([BAD, LET_GO])),
    st.tuples(st.just("run"), BREAKERS, st.sampled_from([GOOD, BAD])),
    st.tuples(st.just("admit"), BREAKERS, st.none()),
    st.tuples(st.just("record"), st.integers(0, 9), st.sampled_from([GOOD, BAD])),
    st.tuples(st.just("advance"), BREAKERS, st.sampled_from([0.1, 0.3, 10.0, 40.0, 70.0])),
    st.tuples(st.just("force"), BREAKERS, st.sampled_from(list(Mode))),
    st.tuples(st.just("close"), BREAKERS, st.none()),
    st.tuples(st.just("reset"), BREAKERS, st.none()),
)
STORY = [
    ("run", 0, BAD),  # opens
    ("advance", 0, 70.0),
    ("run", 1, BAD),  # a trial fails
    ("advance", 0, 70.0),
    ("advance", 0, 40.0),
    ("run", 2, BAD),  # and another
    *[("advance", 0, 70.0)] * 3,
    ("run", 0, GOOD),  # closes
    ("advance", 0, 70.0),
    ("run", 1, GOOD),
]
"""What chance seldom comes to."""


class Turned:
    """A storage of the tests' time, whatever time its server has."""

    name, address, shared = "redis", "redis://", True

    def __init__(self, storage, clock):
        self._storage, self._clock = storage, clock

    def read(self, key):
        """Return what is held."""
        return replace(self._storage.read(key), now=self._clock.now)

    def compare_and_set(self, key, version, circuit, ttl):
        """Write."""
        accepted, held = self._storage.compare_and_set(key, version, circuit, ttl)
        return accepted, replace(held, now=self._clock.now)


class Interrupted(MemoryStorage):
    """A storage that others use between what somebody reads and what he writes.

    :ivar interrupt: Called before each operation.
    """

    shared = True

    def __init__(self, clock):
        super().__init__(clock)
        self.interrupt = lambda: None

    def read(self, key):
        """Return what is held, after others had their turn."""
        self.interrupt()
        return super().read(key)

    def compare_and_set(self, key, version, circuit, ttl):
        """Write, after others had their turn."""
        self.interrupt()
        return super().compare_and_set(key, version, circuit, ttl)


class Failing(MemoryStorage):
    """A storage that may fail before it does what it was asked, or after it has."""

    shared = True

    def __init__(self, clock):
        super().__init__(clock)
        self.fails = None

    def read(self, key):
        """Return what is held, if it can be asked."""
        return self._unless_failing(partial(super().read, key))

    def compare_and_set(self, key, version, circuit, ttl):
        """Write, and maybe fail to tell."""
        return self._unless_failing(partial(super().compare_and_set, key, version, circuit, ttl))

    def _unless_failing(self, operation):
        if self.fails == "before":
            raise StorageError(self.address, "not asked")
        answer = operation()
        if self.fails == "after":
            raise StorageError(self.address, "no answer")
        return answer


class World:
    """Three breakers over one storage, as of three processes, and what came of their steps."""

    def __init__(self, name, storage, clock):
        self.name, self.storage, self.clock = name, storage, clock
        self.events, self.permits, self.admitted = [], [], []
        self.breakers = [
            CircuitBreaker(name, POLICY, storage, clock, self.events.append) for _ in range(3)
        ]

    def take(self, step):
        """Take one step."""
        kind, number, value = step
        getattr(self, f"_{kind}")(number, value)

    def seen(self):
        """Return what each process is shown, and what was admitted and told so far."""
        shown = [{**one.snapshot(), "storage": "any"} for one in self.breakers]
        return shown, self.admitted, self.told()

    def told(self):
        """Return the transitions that were told of."""
        return [(one.from_state, one.to_state, one.reason, one.calls) for one in self.events]

    def stored(self):
        """Return the circuit that the storage holds."""
        return self.storage.read(self.name).circuit or NEW

    def _admit(self, number, value=None):
        breaker, permit = self.breakers[number], None
        with suppress(CircuitOpenError):
            permit = breaker.admit(TIMEOUT)
            self.permits.append((breaker, permit, self.clock.now + TIMEOUT + LEASE_MARGIN))
        self.admitted.append(permit)
        return permit is not None

    def _attempt(self, number, verdict):
        if self._admit(number):
            self._record(-1, verdict)

    def _run(self, number, verdict):
        for _ in range(POLICY.failure_threshold):
            self._attempt(number, verdict)

    def _record(self, number, verdict):
        if self.permits:
            breaker, permit, _ = self.permits.pop(number % len(self.permits))
            breaker.record(permit, verdict)

    def _advance(self, number, seconds):
        self.clock.advance(seconds)

    def _force(self, number, mode):
        self._decide(number, "force", mode=mode, reason="drill", seconds=50.0)

    def _close(self, number, value):
        self._decide(number, "close", reason="")

    def _reset(self, number, value):
        self._decide(number, "reset", reason="")

    def _decide(self, number, decision, **options):
        with suppress(StorageError):  # who decides is told that nobody heard of it
            getattr(self.breakers[number], decision)(actor="ana", **options)


@pytest.fixture(scope="module")
def make_worlds(tmp_path_factory, redis_server):
    """Return what makes a world on each storage; each has a circuit and a clock of its own."""
    names, clocks = count(), [FakeClock() for _ in range(3)]
    sqlite = SQLiteStorage(tmp_path_factory.mktemp("histories") / "file.sqlite3", clock=clocks[1])
    redis = RedisStorage(f"{redis_server.url}?socket_timeout=5", namespace="histories")
    storages = [MemoryStorage(clocks[0]), sqlite, Turned(redis, clocks[2])]

    def make():
        name = str(next(names))
        return [World(name, *both) for both in zip(storages, clocks, strict=True)]

    yield make
    sqlite.close()
    redis.close()


@settings(max_examples=100)
@given(steps=st.lists(STEPS, max_size=40))
@example(steps=STORY)
def test_history_is_the_same_on_every_storage(make_worlds, steps):
    """The same steps lead to the same permits, states, counts, times and events in all three."""
    worlds = make_worlds()
    for step in steps:
        for world in worlds:
            world.take(step)
    memory, sqlite, redis = (world.seen() for world in worlds)
    assert memory == sqlite == redis


@settings(max_examples=500)
@given(steps=st.lists(st.tuples(STEPS, st.booleans()), max_size=40))
@example(steps=[(step, False) for step in STORY])
def test_interleaved_breakers_keep_the_rules(steps):
    """Three breakers that write in between each other's reads and writes share one circuit.

    Never more leases than trials, no trial given twice, no transition lost, told twice or out of
    order, and none from closed to half open.
    """
    clock = FakeClock()
    storage = Interrupted(clock)
    world, coming = World("a", storage, clock), list(steps)

    def interrupt():
        if coming and coming[0][1]:
            world.take(coming.pop(0)[0])

    storage.interrupt = interrupt
    while coming:
        world.take(coming.pop(0)[0])
        check_rules(world)


def check_rules(world):
    """Hold what is true whenever nobody is in the middle of a step."""
    circuit, now = world.stored(), world.clock.now
    assert len([one for one in circuit.trials if one.expires_at > now]) <= POLICY.trials
    given_out = [one for one in world.admitted if one is not None and one.trial is not None]
    assert max(Counter(given_out).values(), default=0) <= 1
    out = [
        permit
        for _, permit, ends_at in world.permits
        if permit.trial is not None and permit.generation == circuit.generation and ends_at > now
    ]
    assert len(out) <= POLICY.trials
    states = [(one.from_state, one.to_state) for one in circuit.transitions]
    assert (State.CLOSED, State.HALF_OPEN) not in states
    assert all(before[1] is after[0] for before, after in pairwise(states))
    assert len(world.events) == circuit.generation


@settings(max_examples=300)
@given(
    steps=st.lists(st.tuples(STEPS, st.sampled_from([None, None, "before", "after"])), max_size=40)
)
def test_breakers_agree_after_any_faults(steps):
    """Whatever the storage fails at, no call sees it, and all agree once it works again."""
    clock = FakeClock()
    storage = Failing(clock)
    world = World("a", storage, clock)
    for step, fails in steps:
        storage.fails = fails
        world.take(step)
    storage.fails = None
    for _ in range(2):
        clock.advance(1)
        shown = [one.snapshot() for one in world.breakers]
    assert shown[0] == shown[1] == shown[2]
    assert shown[0]["state"] == POLICY.tick(world.stored(), clock.now).state.value
    assert ("closed", "half_open") not in [told[:2] for told in world.told()]
