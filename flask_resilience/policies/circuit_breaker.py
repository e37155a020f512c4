"""The circuit breaker's rule book: a circuit is a value, a rule is a pure step.

::

            failure_threshold failures in a row
    closed ─────────────────────────────────────▶ open ◀──────────────┐
      ▲                                            │ recovery_timeout │ a trial fails,
      │ success_threshold trials succeed           ▼                  │ or its lease ends
      └─────────────────────────────────────── half_open ─────────────┘

Steps take the time as an argument, read no clock, hold no lock and talk to no storage; how a
process runs them is in :mod:`flask_resilience.policies.breaker`.

Source: M. T. Nygard, *Release It!*, 2nd ed., "Circuit Breaker".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from ..rules import Number, Whole, check_fields, setting
from .outcome import Outcome


class State(Enum):
    """What a circuit does with calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one attempt.

    :param generation: The circuit's generation when leave was given; an outcome that comes back
        in a later one changes nothing.
    :param trial: Number of the trial it is; ``None`` while the circuit is closed.
    """

    generation: int
    trial: int | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """An attempt let through while half open, as a lease with its own end.

    :param expires_at: When it counts as failed, in seconds of the storage's time.
    """

    number: int
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """What is known of one upstream's health; times are seconds of the storage's clock.

    :param generation: Raised by every transition.
    :param failures: Failures in a row while closed; what they were when it opened, afterwards.
    :param successes: Trials that succeeded since the circuit went half open.
    :param since: When the state began.
    :param open_until: When an open circuit lets a trial through.
    :param trials: The trials that are out.
    :param trials_started: How many were ever let out in this generation.
    :param last_failure: What the last failure was, as text.
    """

    state: State = State.CLOSED
    generation: int = 0
    failures: int = 0
    successes: int = 0
    since: float = 0.0
    open_until: float = 0.0
    trials: tuple[Trial, ...] = ()
    trials_started: int = 0
    last_failure: str = ""

    def holds(self, permit: Permit) -> bool:
        """Say whether *permit* was given in this generation and its trial is still out."""
        if permit.generation != self.generation:
            return False
        return permit.trial is None or any(t.number == permit.trial for t in self.trials)


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreakerPolicy:
    """Open after a run of failures, then probe with a few trial calls.

    :raises ConfigurationError: If a value is out of range.

    Source: M. T. Nygard, *Release It!*, 2nd ed., "Circuit Breaker".
    """

    failure_threshold: int = setting(5, Whole(1, 10_000), "failures in a row that open")
    recovery_timeout: float = setting(
        60.0, Number(0.001, 86400, "seconds"), "how long an open circuit rejects calls"
    )
    success_threshold: int = setting(1, Whole(1, 1000), "trials that must succeed to close")
    trials: int = setting(1, Whole(1, 1000), "trials let through at once")

    def __post_init__(self) -> None:
        check_fields(self)

    def tick(self, circuit: Circuit, now: float) -> Circuit:
        """Return the circuit as time alone has changed it.

        An open one turns half open when its time is over; a trial whose lease has ended, because
        its worker was killed, counts as failed.
        """
        if circuit.state is State.OPEN and now >= circuit.open_until:
            return self._enter(State.HALF_OPEN, circuit, now)
        ended = [trial.expires_at for trial in circuit.trials if now >= trial.expires_at]
        if ended:
            failed = replace(circuit, last_failure="trial lease expired")
            return self.tick(self._open(failed, min(ended)), now)
        return circuit

    def admit(self, circuit: Circuit, now: float, lease: float) -> tuple[Circuit, Permit | None]:
        """Ask leave for one attempt.

        :param lease: How long a trial may take before it counts as failed, in seconds.
        :return: The circuit afterwards, and the permit; ``None`` if the attempt is rejected,
            which never prolongs anybody's lease.
        """
        circuit = self.tick(circuit, now)
        if circuit.state is State.CLOSED:
            return circuit, Permit(circuit.generation)
        if circuit.state is State.OPEN or len(circuit.trials) >= self.trials:
            return circuit, None
        trial = Trial(circuit.trials_started + 1, now + lease)
        admitted = replace(circuit, trials=(*circuit.trials, trial), trials_started=trial.number)
        return admitted, Permit(circuit.generation, trial.number)

    def record(
        self, circuit: Circuit, permit: Permit, outcome: Outcome, now: float, reason: str = ""
    ) -> Circuit:
        """Return the circuit after an attempt's outcome; an ignored one only returns its trial.

        :param reason: What a failure was, as text.
        """
        circuit = self.tick(circuit, now)
        if not circuit.holds(permit):
            return circuit
        left = tuple(trial for trial in circuit.trials if trial.number != permit.trial)
        circuit = replace(circuit, trials=left)
        if outcome is Outcome.SUCCESS:
            return self._succeed(circuit, now)
        if outcome is Outcome.FAILURE:
            return self._fail(replace(circuit, last_failure=reason), now)
        return circuit

    def retry_after(self, circuit: Circuit, now: float) -> float:
        """Return until when a rejected call should wait, in seconds, never below zero."""
        ends = [trial.expires_at for trial in circuit.trials] or [circuit.open_until]
        return max(0.0, min(ends) - now)

    def _succeed(self, circuit: Circuit, now: float) -> Circuit:
        if circuit.state is State.CLOSED:
            return replace(circuit, failures=0)
        circuit = replace(circuit, successes=circuit.successes + 1)
        if circuit.successes < self.success_threshold:
            return circuit
        return replace(self._enter(State.CLOSED, circuit, now), failures=0, last_failure="")

    def _fail(self, circuit: Circuit, now: float) -> Circuit:
        if circuit.state is State.HALF_OPEN:
            return self._open(circuit, now)
        circuit = replace(circuit, failures=circuit.failures + 1)
        return circuit if circuit.failures < self.failure_threshold else self._open(circuit, now)

    def _open(self, circuit: Circuit, now: float) -> Circuit:
        opened = self._enter(State.OPEN, circuit, now)
        return replace(opened, open_until=now + self.recovery_timeout)

    @staticmethod
    def _enter(state: State, circuit: Circuit, now: float) -> Circuit:
        """Return the circuit at the start of *state*: a new generation with no trials."""
        return replace(
            circuit,
            state=state,
            generation=circuit.generation + 1,
            since=now,
            successes=0,
            trials=(),
            trials_started=0,
        )
