"""One upstream's circuit as this process uses it: read, step, write back, tell.

The rules are in :mod:`flask_resilience.policies.circuit_breaker`; the value lives in a storage
that offers two things, *read* and *compare-and-set*, and knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ..errors import CircuitOpenError
from ..events import CircuitChanged, OnEvent
from .circuit_breaker import Circuit, CircuitBreakerPolicy, Permit, State
from .outcome import RELEASED, Outcome, Verdict

CLOSED = Circuit()
LEASE_MARGIN = 1.0
"""Seconds a trial's lease outlives the attempt's own timeout."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a storage holds for a key.

    :param circuit: The value; ``None`` if there is none or its time to live is over.
    :param version: Raised by every write; names this value in a compare-and-set.
    :param now: The storage's time, in seconds; the only clock for the times in a circuit.
    """

    circuit: Circuit | None
    version: int
    now: float


class CircuitStorage(Protocol):
    """Where circuits live; shared by all who may meet in it."""

    name: str

    def read(self, key: str) -> Reading:
        """Return what is held for *key*."""

    def compare_and_set(
        self, key: str, version: int, circuit: Circuit, ttl: float
    ) -> Reading | None:
        """Write *circuit* if *key* is still at *version*.

        :param ttl: How long the value is kept if nobody writes again, in seconds.
        :return: ``None`` if it was written, else what is held instead.
        """


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """Guard attempts at one upstream with the circuit kept for it.

    :param upstream: Whose circuit it is; also its key in the storage.
    """

    upstream: str
    policy: CircuitBreakerPolicy
    storage: CircuitStorage
    on_event: OnEvent

    @property
    def state(self) -> State:
        """Return the state a call would meet now."""
        reading = self.storage.read(self.upstream)
        return self.policy.tick(reading.circuit or CLOSED, reading.now).state

    def rejects(self) -> bool:
        """Say whether an attempt made now would be rejected."""
        reading = self.storage.read(self.upstream)
        return self.policy.admit(reading.circuit or CLOSED, reading.now, 0.0)[1] is None

    def admit(self, timeout: float) -> Permit:
        """Ask leave for one attempt that takes at most *timeout* seconds.

        :raises CircuitOpenError: If the circuit rejects it.
        """

        def step(circuit: Circuit, now: float) -> tuple[Circuit, Permit | CircuitOpenError]:
            circuit, permit = self.policy.admit(circuit, now, timeout + LEASE_MARGIN)
            if permit is not None:
                return circuit, permit
            wait = self.policy.retry_after(circuit, now)
            return circuit, CircuitOpenError(self.upstream, wait, circuit.last_failure)

        admission = self._update(step)
        if isinstance(admission, CircuitOpenError):
            raise admission
        return admission

    def record(self, permit: Permit, verdict: Verdict) -> None:
        """Let the circuit learn what the attempt came to."""
        outcome = verdict.outcome
        if permit.trial is not None and verdict.fails_trial:
            outcome = Outcome.FAILURE

        def step(circuit: Circuit, now: float) -> tuple[Circuit, None]:
            return self.policy.record(circuit, permit, outcome, now, verdict.reason), None

        self._update(step)

    def release(self, permit: Permit) -> None:
        """Hand back a permit whose attempt came to nothing that counts."""
        self.record(permit, RELEASED)

    def _update(self, step: Callable[[Circuit, float], tuple[Circuit, T]]) -> T:
        """Apply *step* to the stored circuit; who wins a transition tells of it, nobody else."""
        reading = self.storage.read(self.upstream)
        while True:
            before, now = reading.circuit or CLOSED, reading.now
            after, result = step(before, now)
            if after == before:
                return result
            held = self.storage.compare_and_set(
                self.upstream, reading.version, after, self._ttl(after, now)
            )
            if held is None:
                break
            reading = held
        if after.state is not before.state:
            self._tell(before, after)
        return result

    def _ttl(self, circuit: Circuit, now: float) -> float:
        """Keep a circuit well past the last moment it speaks of: ten recovery times, or an hour."""
        ends = [now, circuit.open_until, *(trial.expires_at for trial in circuit.trials)]
        return max(ends) - now + max(3600.0, 10 * self.policy.recovery_timeout)

    def _tell(self, before: Circuit, after: Circuit) -> None:
        opened = after.state is State.OPEN
        self.on_event(
            CircuitChanged(
                upstream=self.upstream,
                from_state=before.state.value,
                to_state=after.state.value,
                reason=after.last_failure if opened else _REASONS[after.state],
                failures=max(before.failures, after.failures),
                open_for=self.policy.recovery_timeout if opened else None,
                storage=self.storage.name,
            )
        )


_REASONS = {
    State.HALF_OPEN: "recovery timeout over",
    State.CLOSED: "trials succeeded",
}
