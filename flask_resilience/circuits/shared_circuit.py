"""One upstream's circuit as this process knows it, in step with all who share it.

While the circuit is closed and healthy, successes are gathered here and cost the storage nothing;
calls carry them to it, at most every :data:`SYNC_SECONDS`. A failure, a slow call and a trial go at
once. What the storage holds is changed by *compare-and-set* alone: read, step, write if nobody
wrote meanwhile, else step again from what they wrote. Who wins a transition tells of it.

While the storage cannot be asked, the circuit as last known goes on here by the same rules. When
the storage is back, what it holds counts again; where it has lost the circuit, it is given the one
known here.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import TypeAlias, TypeVar

from ..clock import Clock
from ..errors import CircuitOpenError, StorageError
from ..events import CircuitChanged, OnEvent, tell
from ..forks import begin_anew_when_forked
from ..policies.circuit import NEW, Circuit, Permit, Tally, Transition
from ..policies.circuit_breaker import CircuitBreakerPolicy
from ..policies.retention import time_to_live
from ..policies.window import CLOCK_SLACK
from .circuit_storage import CircuitStorage, Reading
from .counter import Counter
from .view import SYNC_SECONDS, View

MOST_TRIES = 64
"""How often a step is taken again because others wrote; then the circuit goes on here alone."""

PROCESS = "process"
"""Where a circuit is that only this process knows."""
T = TypeVar("T")
Step: TypeAlias = Callable[[Circuit, float], tuple[Circuit, T]]


class SharedCircuit:
    """Step the circuit of one upstream, in this process and in the storage.

    :param upstream: Whose circuit it is; also its key in the storage.
    :param on_event: Told of each transition that this process brought about.
    """

    _lock: threading.RLock  # held for a look at the fields below, never for I/O or a listener
    _claimed_until: float
    _gathered_at: float
    _successes: Counter
    _rejected: Counter

    def __init__(
        self,
        upstream: str,
        policy: CircuitBreakerPolicy,
        storage: CircuitStorage,
        clock: Clock,
        on_event: OnEvent,
    ) -> None:
        self.upstream, self.policy, self.storage = upstream, policy, storage
        self.monotonic = clock.monotonic
        self._on_event = on_event
        self._asking = False
        self.view = View(circuit=policy.new(), offset=clock.wall() - clock.monotonic())
        self.begin_anew()
        begin_anew_when_forked(self)

    @property
    def now(self) -> float:
        """Return the storage's time, as far as this process knows."""
        return self.monotonic() + self.view.offset

    def look(self) -> View:
        """Return the circuit as known at most :data:`SYNC_SECONDS` ago.

        Of many threads that come when it is due, one asks and the others go by what is known; after
        a pause, when nothing recent is known, all ask.
        """
        now, due = self.monotonic(), self.view.due
        if now >= due and (self.claim(now) or now >= due + SYNC_SECONDS):
            self.sync()
        return self.view

    def gather(self, now: float) -> None:
        """Count a success that came at *now* of the clock's monotonic time, and tell it later."""
        self._gathered_at = now
        self._successes.add()

    def rejection(self, view: View, now: float) -> CircuitOpenError:
        """Return what a call that *view* rejects raises, and count it.

        :param now: The clock's monotonic time.
        """
        self.count_rejection()
        wait = view.retry_at - now if view.retry_at > now else 0.0
        return CircuitOpenError(self.upstream, wait, view.why_rejected)

    def claim(self, now: float) -> bool:
        """Say whether it falls to the caller to ask the storage, and not to another thread."""
        with self._lock:
            mine = now >= self._claimed_until
            if mine:
                self._claimed_until = now + SYNC_SECONDS
        return mine

    def sync(self) -> Circuit:
        """Carry what was gathered to the storage, and return what it holds."""
        return self.apply(_as_it_is)

    def submit(self, step: Step[None]) -> None:
        """Apply *step*, now or by the thread that is just applying another one."""
        self._submitted.append(step)
        while self._submitted and self._becomes_writer():
            try:
                self._apply_submitted()
            finally:
                self._writing = False

    def holds(self, permit: Permit) -> bool:
        """Say whether *permit* was given in the generation that is known."""
        return permit.generation == self.view.circuit.generation

    def apply_if_changing(self, step: Step[T]) -> T:
        """Apply *step*; if it would change nothing of what is known here, the storage is spared."""
        view = self.view
        after, result = step(view.circuit, self.monotonic() + view.offset)
        return result if after == view.circuit else self.apply(step)

    def apply(self, step: Step[T]) -> T:
        """Apply *step* and what was gathered to the shared circuit, or here if there is no other.

        :param step: A pure function of the circuit and the storage's time; may be called often.
        """
        tally = self._take()
        try:
            return self._apply_shared(step, tally)
        except StorageError:
            return self._apply_alone(step, tally)

    def apply_for_all(self, step: Step[T]) -> T:
        """Apply *step* to the shared circuit, or not at all.

        :raises StorageError: If the storage cannot be asked.
        """
        tally = self._take()
        try:
            return self._apply_shared(step, tally)
        except StorageError:
            self._apply_alone(_as_it_is, tally)
            raise

    def ask_each_time(self, asking: bool) -> None:
        """Let no call pass or be rejected without being asked about, or let them again."""
        with self._lock:
            self._asking = asking
            self.view = self.view.gated(self.policy, asking)

    def _becomes_writer(self) -> bool:
        with self._lock:
            becomes, self._writing = not self._writing, True
        return becomes

    def _apply_submitted(self) -> None:
        steps = [self._submitted.popleft() for _ in range(len(self._submitted))]

        def all_of_them(circuit: Circuit, now: float) -> tuple[Circuit, None]:
            for step in steps:
                circuit, _ = step(circuit, now)
            return circuit, None

        try:
            self.apply(all_of_them)
        except BaseException:  # interrupted: the next one who comes applies them
            self._submitted.extendleft(reversed(steps))
            raise

    def _apply_shared(self, step: Step[T], tally: Tally) -> T:
        fresh = self.view.alone or self.view.never_read
        if fresh:
            self._read()
        for _ in range(MOST_TRIES):
            view, begun = self.view, self.monotonic()
            after, result = self._stepped(step, view, tally)
            if after != (view.stored or NEW):
                settled, reading = self._write(view, after)
                self._learn(reading, begun)
            elif fresh:
                return result
            else:
                settled = self._read().version == view.version
            if settled:
                self._tell(view.circuit, after, self.storage.name)
                return result
            fresh = True
        raise StorageError(self.storage.address, "others write all the time")

    def _read(self) -> Reading:
        begun = self.monotonic()
        reading = self.storage.read(self.upstream)
        self._learn(reading, begun)
        return reading

    def _apply_alone(self, step: Step[T], tally: Tally) -> T:
        with self._lock:
            view = self.view
            after, result = self._stepped(step, view, tally)
            self._see(replace(view, circuit=after, alone=True))
        self._tell(view.circuit, after, PROCESS)
        return result

    def _stepped(self, step: Step[T], view: View, tally: Tally) -> tuple[Circuit, T]:
        now = self.monotonic() + view.offset
        return step(self.policy.absorb(view.circuit, tally, now), now)

    def _write(self, view: View, circuit: Circuit) -> tuple[bool, Reading]:
        ttl = time_to_live(circuit, self.policy, self.monotonic() + view.offset)
        return self.storage.compare_and_set(self.upstream, view.version, circuit, ttl)

    def _learn(self, reading: Reading, begun: float) -> None:
        """Take over what the storage holds; what it has lost is kept.

        A thread that was overtaken by others comes with what is no longer so: that is dropped.

        :param begun: When the storage was asked, in the clock's monotonic time.
        """
        offset, held = reading.now - self.monotonic(), reading.circuit
        with self._lock:
            before = self.view
            if begun < before.since and reading.now < before.read_at:
                return
            kept = before.circuit
            if abs(offset - before.offset) > CLOCK_SLACK:
                kept = kept.shifted(offset - before.offset)
            view = View(circuit=held or kept, stored=held, version=reading.version, offset=offset)
            self._see(replace(view, read_at=reading.now, alone=False))
        if before.alone and view.circuit.state is not before.circuit.state:
            told = before.circuit.entered(view.circuit.state, reading.now, "storage is back")
            self._tell(before.circuit, told, PROCESS)

    def _see(self, view: View) -> None:
        now = self.monotonic()
        self.view = replace(view, since=now, due=now + SYNC_SECONDS).gated(
            self.policy, self._asking
        )

    def _take(self) -> Tally:
        with self._lock:
            view = self.view
            return Tally(
                generation=view.circuit.generation,
                at=max(view.since, self._gathered_at - SYNC_SECONDS) + view.offset,
                until=self._gathered_at + view.offset,
                successes=self._successes.take(),
                rejected=self._rejected.take(),
            )

    def begin_anew(self) -> None:
        """Have nothing gathered, and ask the storage before the next call."""
        self._lock = threading.RLock()  # a stream let go may end within a collection in here
        self._claimed_until = -inf
        self._successes, self._rejected = Counter(), Counter()
        self.count_rejection = self._rejected.add
        self._gathered_at = -inf
        self._submitted: deque[Step[None]] = deque()
        self._writing = False
        self.view = replace(self.view, since=-inf, due=-inf, passes_until=-inf, rejects_until=-inf)

    def _tell(self, before: Circuit, after: Circuit, storage: str) -> None:
        for transition in after.transitions:
            if transition.generation > before.generation:
                tell(self._on_event, _event(self.upstream, transition, storage))


def _as_it_is(circuit: Circuit, now: float) -> tuple[Circuit, Circuit]:
    return circuit, circuit


def _event(upstream: str, transition: Transition, storage: str) -> CircuitChanged:
    return CircuitChanged(
        upstream=upstream,
        from_state=transition.from_state.value,
        to_state=transition.to_state.value,
        reason=transition.reason,
        actor=transition.actor,
        calls=transition.calls,
        failures=transition.failures,
        failure_rate=transition.failure_rate,
        slow_rate=transition.slow_rate,
        open_for=transition.open_for,
        storage=storage,
    )
