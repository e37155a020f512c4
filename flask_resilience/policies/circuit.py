"""A circuit is a value: what is known of one upstream's health, and nothing that changes it.

The steps that lead from one to the next are in :mod:`flask_resilience.policies.circuit_breaker`.
Times are seconds of the storage's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from .outcome import Outcome
from .window import Window

REMEMBERED_TRANSITIONS = 20


class State(Enum):
    """What a circuit does with calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"


class Mode(Enum):
    """What people have a circuit do, whatever it counts."""

    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"
    OBSERVE = "observe"


@dataclass(frozen=True, slots=True)
class Control:
    """What somebody decided for a circuit, over all workers.

    :param actor: Who it was.
    :param until: When it ends by itself; ``None`` for when somebody ends it.
    """

    mode: Mode
    actor: str
    reason: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one attempt.

    :param generation: The circuit's generation when leave was given; an outcome that comes back
        in a later one changes nothing.
    :param trial: Number of the trial it is; ``None`` unless the circuit is half open.
    :param alone: Whether it was given while this process could not ask the storage.
    :param host: Leave of the circuit that this process keeps for faults of its host, if there is
        one.
    """

    generation: int
    trial: int | None = None
    alone: bool = False
    host: Permit | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """An attempt let through while half open, as a lease with its own end.

    :param expires_at: When it counts as failed.
    """

    number: int
    expires_at: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one attempt says of its upstream.

    :param reason: What a failure was, as text.
    :param slow: Whether it took longer than it may.
    """

    outcome: Outcome
    reason: str = ""
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """What a process gathered since it last looked at the shared circuit.

    :param generation: The circuit's when the successes were gathered.
    :param at: When it began to gather; only meant where there are successes, as is *until*.
    :param until: When the last success came.
    """

    generation: int
    at: float
    until: float
    successes: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One change from a state to another, as it is told and remembered.

    :param generation: The circuit's afterwards.
    :param reason: What brought it about, in a word or two.
    :param actor: Who did it; ``None`` if nobody did but the rules.
    :param calls: Attempts in the window at that moment.
    :param open_for: How long the state will last, in seconds, if it is open or was decided so.
    """

    generation: int
    from_state: State
    to_state: State
    at: float
    reason: str
    actor: str | None = None
    calls: int = 0
    failures: int = 0
    failure_rate: float = 0.0
    slow_rate: float = 0.0
    open_for: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """What is known of one upstream's health.

    :param generation: Raised by every transition.
    :param window: What was counted while closed; kept as it was while open.
    :param failures: Failures in a row while closed.
    :param successes: Trials that succeeded since the circuit went half open.
    :param since: When the state began.
    :param open_until: When an open circuit lets a trial through.
    :param reopened: Trials that failed since the circuit was last closed.
    :param trials: The trials that are out.
    :param trials_started: How many were ever let out in this generation.
    :param last_failure: What the last failure was, as text.
    :param last_failure_at: When it was; ``None`` for never.
    :param rejected: Calls ever turned away.
    :param control: What people decided; ``None`` while the rules do.
    :param transitions: The last twenty, oldest first.
    """

    state: State = State.CLOSED
    generation: int = 0
    window: Window = field(default_factory=Window)
    failures: int = 0
    successes: int = 0
    since: float = 0.0
    open_until: float = 0.0
    reopened: int = 0
    trials: tuple[Trial, ...] = ()
    trials_started: int = 0
    last_failure: str = ""
    last_failure_at: float | None = None
    rejected: int = 0
    control: Control | None = None
    transitions: tuple[Transition, ...] = ()

    def holds(self, permit: Permit) -> bool:
        """Say whether *permit* was given in this generation and its trial is still out."""
        if permit.generation != self.generation:
            return False
        return permit.trial is None or any(t.number == permit.trial for t in self.trials)

    @property
    def why_rejected(self) -> str:
        """Return what to tell whoever is turned away: the last failure, or who wants it so."""
        if self.state is State.FORCED_OPEN and self.control is not None:
            return f"forced open by {self.control.actor}: {self.control.reason}".removesuffix(": ")
        return self.last_failure or (self.transitions[-1].reason if self.transitions else "")

    def shifted(self, seconds: float) -> Circuit:
        """Return the circuit on a clock that shows so much more."""

        def moved(moment: float | None) -> float | None:
            return None if moment is None else moment + seconds

        control = self.control
        return replace(
            self,
            since=self.since + seconds,
            open_until=self.open_until + seconds,
            last_failure_at=moved(self.last_failure_at),
            window=Window(tuple(replace(b, start=b.start + seconds) for b in self.window.buckets)),
            trials=tuple(replace(t, expires_at=t.expires_at + seconds) for t in self.trials),
            control=control and replace(control, until=moved(control.until)),
        )

    def entered(
        self,
        state: State,
        now: float,
        reason: str,
        actor: str | None = None,
        open_for: float | None = None,
    ) -> Circuit:
        """Return the circuit at the start of *state*: a new generation with no trials."""
        told = Transition(
            generation=self.generation + 1,
            from_state=self.state,
            to_state=state,
            at=now,
            reason=reason,
            actor=actor,
            calls=self.window.calls,
            failures=self.window.failures,
            failure_rate=self.window.failure_rate,
            slow_rate=self.window.slow_rate,
            open_for=open_for,
        )
        return replace(
            self,
            state=state,
            generation=told.generation,
            since=now,
            successes=0,
            trials=(),
            trials_started=0,
            transitions=(*self.transitions, told)[-REMEMBERED_TRANSITIONS:],
        )


NEW = Circuit()
"""The circuit of an upstream nothing is known of."""
