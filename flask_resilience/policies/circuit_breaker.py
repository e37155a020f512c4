"""The circuit breaker's rule book: each rule is a pure step from one circuit to the next.

::

             failure_threshold failures in a row, or failure_rate or
             slow_call_rate of at least minimum_calls in the window
    closed ────────────────────────────────────────▶ open ◀────────────────┐
      ▲                                                │ recovery_timeout   │ a trial fails,
      │ success_threshold trials succeed               ▼                    │ or its lease ends
      └─────────────────────────────────────────── half_open ───────────────┘

    any ── people ──▶ forced_open, disabled ── people, or the end they set ──▶ closed

Steps take the time as an argument, read no clock, hold no lock and talk to no storage; how a
process runs them is in :mod:`flask_resilience.circuits.shared_circuit`.

Source: M. T. Nygard, *Release It!*, 2nd ed., "Circuit Breaker"; resilience4j, "CircuitBreaker".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from zlib import crc32

from ..errors import ConfigurationError
from ..rules import Maybe, Number, OneOf, Whole, check_fields, setting
from .circuit import (
    NEW,
    Circuit,
    Control,
    Evidence,
    Mode,
    Permit,
    State,
    Tally,
    Trial,
)
from .outcome import Outcome
from .window import CLOCK_SLACK, Bucket, Window, bucket_start

JITTER = 0.1
"""The most by which a recovery time is stretched, as a share of it."""
SECONDS = Number(0.001, 86400, "seconds")
RATE = Number(0.001, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreakerPolicy:
    """Open after too many failures or slow calls, then probe with a few trial calls.

    :raises ConfigurationError: If a value is out of range, or more trials are let through at once
        than successes are needed.

    Source: M. T. Nygard, *Release It!*, 2nd ed., "Circuit Breaker".
    """

    failure_threshold: int = setting(5, Whole(1, 10_000), "failures in a row that open")
    failure_rate: float = setting(0.5, RATE, "or this share of the window's calls")
    minimum_calls: int = setting(10, Whole(1, 1_000_000), "calls before a share means anything")
    window: float = setting(60.0, SECONDS, "how far back calls count for a share")
    slow_call_duration: float | None = setting(
        None, Maybe(SECONDS), "longer than this, to the last byte, is slow; None: never"
    )
    slow_call_rate: float = setting(1.0, RATE, "share of slow calls that opens")
    recovery_timeout: float = setting(
        60.0, SECONDS, "how long an open circuit rejects calls; up to 10 % longer"
    )
    recovery_multiplier: float = setting(
        1.0, Number(1, 100), "growth of that time with each trial that fails"
    )
    recovery_max: float = setting(
        300.0, SECONDS, "most it grows to; never less than the recovery timeout"
    )
    success_threshold: int = setting(1, Whole(1, 1000), "trials that must succeed to close")
    trials: int = setting(1, Whole(1, 1000), "trials let through at once, over all workers")
    mode: str = setting(
        "enforce",
        OneOf("enforce", "observe", "disabled"),
        "'observe' counts and reports but never rejects; 'disabled' does nothing",
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.trials > self.success_threshold:
            raise ConfigurationError(
                f"CircuitBreakerPolicy.trials is {self.trials} and success_threshold is "
                f"{self.success_threshold}; the first must not exceed the second.",
                key="CircuitBreakerPolicy.trials",
                contradicts="CircuitBreakerPolicy.success_threshold",
            )

    def new(self) -> Circuit:
        """Return the circuit of an upstream nothing is known of."""
        return replace(NEW, state=State.DISABLED) if self.mode == "disabled" else NEW

    def tick(self, circuit: Circuit, now: float) -> Circuit:
        """Return the circuit as time alone has changed it.

        An open one turns half open when its time is over; a trial whose lease has ended, because
        its worker was killed, counts as failed; what people decided ends when they said it does.
        What a clock that was set back left ahead of it begins now.
        """
        if circuit.since > now + CLOCK_SLACK:
            circuit = circuit.shifted(now - circuit.since)
        control = circuit.control
        if control is not None and control.until is not None and now >= control.until:
            return self.tick(self._lift(circuit, control.until), now)
        if circuit.state is State.OPEN and now >= circuit.open_until:
            return circuit.entered(State.HALF_OPEN, now, "recovery timeout over")
        ended = [trial.expires_at for trial in circuit.trials if now >= trial.expires_at]
        if ended:
            return self.tick(self._reopen(circuit, min(ended), "trial lease expired"), now)
        return circuit

    def admit(self, circuit: Circuit, now: float, lease: float) -> tuple[Circuit, Permit | None]:
        """Ask leave for one attempt.

        :param lease: How long a trial may take before it counts as failed, in seconds.
        :return: The circuit afterwards, and the permit; ``None`` if the attempt is rejected,
            which never prolongs anybody's lease.
        """
        circuit = self.tick(circuit, now)
        if circuit.state is State.HALF_OPEN and len(circuit.trials) < self.trials:
            trial = Trial(circuit.trials_started + 1, now + lease)
            admitted = replace(
                circuit, trials=(*circuit.trials, trial), trials_started=trial.number
            )
            return admitted, Permit(circuit.generation, trial.number)
        return circuit, None if self.rejects(circuit) else Permit(circuit.generation)

    def rejects(self, circuit: Circuit) -> bool:
        """Say whether the circuit, in the state it is in, has no leave to give."""
        if circuit.state is State.HALF_OPEN:
            full = len(circuit.trials) >= self.trials
        else:
            full = circuit.state in (State.OPEN, State.FORCED_OPEN)
        return full and not self.observes(circuit)

    def record(self, circuit: Circuit, permit: Permit, evidence: Evidence, now: float) -> Circuit:
        """Return the circuit after an attempt; an ignored outcome only returns its trial."""
        circuit = self.tick(circuit, now)
        if not circuit.holds(permit):
            return circuit
        left = tuple(trial for trial in circuit.trials if trial.number != permit.trial)
        circuit = replace(circuit, trials=left)
        if evidence.outcome is Outcome.IGNORED:
            return circuit
        if circuit.state is State.CLOSED:
            return self._count(circuit, evidence, now)
        if permit.trial is None:
            return circuit
        if evidence.slow and evidence.outcome is Outcome.SUCCESS:
            return self._reopen(circuit, now, "slow call")
        if evidence.outcome is Outcome.FAILURE:
            return self._reopen(circuit, now, evidence.reason)
        return self._succeed(circuit, now)

    def absorb(self, circuit: Circuit, tally: Tally, now: float) -> Circuit:
        """Return the circuit with what a process gathered, as if recorded when it began to.

        Successes from before the last failure, which others told of first, do not end its run.
        """
        circuit = self.tick(circuit, now)
        if tally.rejected:
            circuit = replace(circuit, rejected=circuit.rejected + tally.rejected)
        counts = circuit.state is State.CLOSED and tally.generation == circuit.generation
        if not tally.successes or not counts:
            return circuit
        bucket = Bucket(bucket_start(min(tally.at, now), self.window), successes=tally.successes)
        earlier = tally.until < (circuit.last_failure_at or 0.0)
        failures = circuit.failures if earlier else 0
        window = circuit.window.add(bucket).recent(now, self.window)
        return self._judge(replace(circuit, window=window, failures=failures), now)

    def gathers(self, circuit: Circuit) -> bool:
        """Say whether a success may wait for the next sync: it ends no run and tips no share."""
        if circuit.state is State.CLOSED:
            window = circuit.window
            tipping = (window.failures or window.slow) and window.calls < self.minimum_calls
            return not circuit.failures and not tipping
        return circuit.state is State.DISABLED

    def observes(self, circuit: Circuit) -> bool:
        """Say whether the circuit only looks on, by its policy or by somebody's decision."""
        control = circuit.control
        return (self.mode if control is None else control.mode.value) == "observe"

    def force(self, circuit: Circuit, control: Control, now: float) -> Circuit:
        """Return the circuit as somebody decided it to be."""
        circuit = self.tick(circuit, now)
        reason = f"{control.mode.value}: {control.reason}".removesuffix(": ")
        if control.mode is Mode.OBSERVE:
            forced = self._close(circuit, now, reason, control.actor)
        else:
            end = None if control.until is None else control.until - now
            forced = circuit.entered(State(control.mode.value), now, reason, control.actor, end)
        return replace(forced, control=control)

    def close(self, circuit: Circuit, now: float, actor: str, reason: str) -> Circuit:
        """Return the circuit closed by somebody, under the rules again and with nothing counted."""
        return self._close(self.tick(circuit, now), now, reason or "closed", actor)

    def reset(self, circuit: Circuit, now: float, actor: str, reason: str) -> Circuit:
        """Return the circuit as new but for its generation, and the transitions up to this one."""
        closed = self.close(circuit, now, actor, reason or "reset")
        return replace(
            NEW,
            generation=closed.generation,
            since=now,
            transitions=closed.transitions,
        )

    def retry_after(self, circuit: Circuit, now: float) -> float:
        """Return until when a rejected call should wait, in seconds, never below zero."""
        if circuit.state is State.FORCED_OPEN:
            until = None if circuit.control is None else circuit.control.until
            return self.recovery_timeout if until is None else max(0.0, until - now)
        ends = [trial.expires_at for trial in circuit.trials] or [circuit.open_until]
        return max(0.0, min(ends) - now)

    def recent(self, circuit: Circuit, now: float) -> Window:
        """Return what the window holds now."""
        return circuit.window.recent(now, self.window)

    def is_slow(self, duration: float) -> bool:
        """Say whether an attempt of so many seconds took too long."""
        return duration > (inf if self.slow_call_duration is None else self.slow_call_duration)

    def _count(self, circuit: Circuit, evidence: Evidence, now: float) -> Circuit:
        failed = evidence.outcome is Outcome.FAILURE
        bucket = Bucket(
            bucket_start(now, self.window),
            successes=not failed,
            failures=failed,
            slow=int(evidence.slow),
        )
        circuit = replace(
            circuit,
            window=circuit.window.add(bucket).recent(now, self.window),
            failures=circuit.failures + 1 if failed else 0,
            last_failure=evidence.reason if failed else circuit.last_failure,
            last_failure_at=now if failed else circuit.last_failure_at,
        )
        return self._judge(circuit, now)

    def _judge(self, circuit: Circuit, now: float) -> Circuit:
        """Open the circuit if what was counted is too much."""
        if circuit.failures >= self.failure_threshold:
            return self._open(circuit, now, circuit.last_failure)
        window = self.recent(circuit, now)
        if window.calls < self.minimum_calls:
            return circuit
        if window.failure_rate >= self.failure_rate:
            return self._open(circuit, now, "failure rate")
        if self.slow_call_duration is not None and window.slow_rate >= self.slow_call_rate:
            return self._open(circuit, now, "slow calls")
        return circuit

    def _succeed(self, circuit: Circuit, now: float) -> Circuit:
        circuit = replace(circuit, successes=circuit.successes + 1)
        if circuit.successes < self.success_threshold:
            return circuit
        return self._close(circuit, now, "trials succeeded")

    def _open(self, circuit: Circuit, now: float, reason: str) -> Circuit:
        """Return the circuit open, for a time that grows with each trial that failed."""
        longest = max(self.recovery_max, self.recovery_timeout)
        growth = self.recovery_multiplier ** min(circuit.reopened, 64)
        spread = crc32(f"{circuit.generation} {now}".encode()) / 2**32
        open_for = min(self.recovery_timeout * growth, longest) * (1 + JITTER * spread)
        opened = circuit.entered(State.OPEN, now, reason, open_for=open_for)
        return replace(opened, open_until=now + open_for)

    def _reopen(self, circuit: Circuit, now: float, reason: str) -> Circuit:
        failed = replace(
            circuit, reopened=circuit.reopened + 1, last_failure=reason, last_failure_at=now
        )
        return self._open(failed, now, reason)

    def _close(
        self, circuit: Circuit, now: float, reason: str, actor: str | None = None
    ) -> Circuit:
        closed = circuit.entered(State.CLOSED, now, reason, actor)
        return replace(
            closed, window=Window(), failures=0, reopened=0, last_failure="", control=None
        )

    def _lift(self, circuit: Circuit, now: float) -> Circuit:
        """Return the circuit after what somebody decided has ended by itself."""
        if circuit.control is None or circuit.control.mode is Mode.OBSERVE:
            return replace(circuit, control=None)
        return self._close(circuit, now, f"{circuit.control.mode.value} ended")
