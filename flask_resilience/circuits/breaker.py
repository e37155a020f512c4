"""A circuit breaker in use: leave for attempts, what they came to, and what people decide.

The rules are in :mod:`flask_resilience.policies.circuit_breaker`; what keeps in step with other
processes is in :mod:`flask_resilience.circuits.shared_circuit`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from ..clock import Clock
from ..errors import CircuitOpenError, ConfigurationError
from ..events import OnEvent
from ..policies.circuit import Circuit, Control, Evidence, Mode, Permit, State
from ..policies.circuit_breaker import CircuitBreakerPolicy
from ..policies.outcome import RELEASED, SUCCEEDED, Outcome, Verdict
from ..policies.snapshot import snapshot
from ..rules import Maybe, Number, Text, check
from .circuit_storage import CircuitStorage, NoStorage
from .gate import Gate
from .shared_circuit import SharedCircuit
from .view import View

LEASE_MARGIN = 1.0
"""Seconds a trial's lease outlives the attempt's own timeout."""
NOTHING = Evidence(Outcome.IGNORED)
_NO_TRIAL = nullcontext()
NESTED = Permit(generation=-1)
"""For what is guarded within a trial of the same circuit: it passes, and the trial counts."""

trials: ContextVar[tuple[tuple[SharedCircuit, Permit], ...]] = ContextVar(
    "flask_resilience_trials", default=()
)
"""The trials that are being made in this context."""
ACTOR = Text(r"[^\r\n]{1,255}", "a name of 1 to 255 characters on one line")
REASON = Text(r"[^\r\n]{0,255}", "at most 255 characters on one line")
AN_END = Maybe(Number(0.001, 31_536_000, "seconds"))


def begin_trial(circuit: SharedCircuit, permit: Permit) -> None:
    """Note that what runs from now on in this context is a trial."""
    trials.set((*trials.get(), (circuit, permit)))


def end_trial(permit: Permit) -> None:
    """Note that the trial is over."""
    trials.set(tuple(one for one in trials.get() if one[1] is not permit))


class CircuitBreaker:
    """Guard attempts at one upstream with the circuit kept for it.

    Faults of this host alone (no DNS, no trust, no sockets) count in a second circuit, which only
    this process knows and which is there only while there are such faults: one sick host must not
    open the circuits of all. A storage that is not shared needs none.

    :param upstream: Whose circuit it is; also its key in the storage.
    :param timeout: How long an attempt may take where nobody says otherwise, in seconds.
    """

    def __init__(
        self,
        upstream: str,
        policy: CircuitBreakerPolicy,
        storage: CircuitStorage,
        clock: Clock,
        on_event: OnEvent,
        timeout: float = 15.0,
    ) -> None:
        self.upstream, self.policy, self.timeout = upstream, policy, timeout
        self.times_calls = policy.slow_call_duration is not None
        self._clock, self._on_event = clock, on_event
        self.circuit = self._circuit_in(NoStorage() if policy.mode == "disabled" else storage)
        self._gate = Gate(self.circuit)
        self._host_gate: Gate | None = None
        self._abandoned: deque[Permit] = deque()

    @property
    def state(self) -> State:
        """Return the state a call would meet now."""
        self.circuit.look()
        return self.known_state

    @property
    def known_state(self) -> State:
        """Return the state as far as is known, without asking anybody."""
        host = self._host
        if host is not None and host.known_state is not State.CLOSED:
            return host.known_state
        return self._gate.known_state

    def rejects(self) -> bool:
        """Say whether an attempt made now would be rejected."""
        host = self._host
        return (host is not None and host.rejects()) or self._gate.rejects()

    def admit(self, timeout: float | None = None) -> Permit:
        """Ask leave for one attempt that takes at most *timeout* seconds.

        :raises CircuitOpenError: If the circuit rejects it.
        """
        view = self.circuit.view
        if self._host_gate is None and self.circuit.monotonic() < view.passes_until:
            return view.permit
        lease = (self.timeout if timeout is None else timeout) + LEASE_MARGIN
        if self._abandoned:
            self._release_abandoned()
        try:
            return self._admit(lease)
        except CircuitOpenError:
            if self._is_within_trial():
                return NESTED
            raise

    def within(self, permit: Permit) -> AbstractContextManager[None]:
        """Let what is guarded by the same circuit pass while the block runs, if it is a trial."""
        return _NO_TRIAL if permit.trial is None else self._within_trial(permit)

    @contextmanager
    def _within_trial(self, permit: Permit) -> Iterator[None]:
        begin_trial(self.circuit, permit)
        try:
            yield
        finally:
            end_trial(permit)

    def record(self, permit: Permit, verdict: Verdict, duration: float = 0.0) -> None:
        """Let the circuit learn what the attempt came to, and how many seconds it took."""
        if verdict.abandoned:
            self._abandoned.append(permit)
            return
        view = self.circuit.view
        if verdict.outcome is Outcome.SUCCESS and self._may_gather(view, permit):
            self.circuit.gather(self.circuit.monotonic())
            return
        evidence = NOTHING
        if verdict.outcome is not Outcome.IGNORED:
            failed = verdict.fails_trial and permit.trial is not None
            outcome = Outcome.FAILURE if failed else verdict.outcome
            evidence = Evidence(outcome, verdict.reason, self.policy.is_slow(duration))
        if verdict.host_fault and self._counts_host_faults:
            self._record_host(permit, evidence)
            evidence = NOTHING
        elif self._host is not None and permit.host is not None:
            reached = evidence.outcome is not Outcome.IGNORED
            self._record_host(permit, Evidence(Outcome.SUCCESS) if reached else NOTHING)
        self._gate.record(permit, evidence)

    def _may_gather(self, view: View, permit: Permit) -> bool:
        """Say whether a success given *permit* may simply be counted, as nothing has changed."""
        unchanged = permit is view.permit and self._host_gate is None and not self.times_calls
        return unchanged and self.circuit.monotonic() < view.passes_until

    def succeed(self, view: View, permit: Permit, started: float) -> None:
        """Record a success; while nothing has changed since *view*, it is merely gathered.

        :param started: When the attempt began, in the clock's monotonic seconds.
        """
        circuit = self.circuit
        now = circuit.monotonic()
        if now < view.passes_until and view is circuit.view and not self.times_calls:
            circuit.gather(now)
        else:
            self.record(permit, SUCCEEDED, now - started)

    def release(self, permit: Permit) -> None:
        """Hand back a permit whose attempt came to nothing that counts."""
        self.record(permit, RELEASED)

    def force(self, mode: Mode, *, actor: str, reason: str, seconds: float | None = None) -> None:
        """Take the circuit from the rules, for all workers.

        :param actor: Who decides so; stands in the log.
        :param seconds: After which the rules hold again; ``None`` until somebody says so.
        :raises ConfigurationError: If the breaker is disabled by its settings, or an argument
            is wrong.
        :raises StorageError: If the storage is down, so that others would not hear of it.
        """
        check("seconds", seconds, AN_END)

        def step(circuit: Circuit, now: float) -> Circuit:
            until = None if seconds is None else now + seconds
            return self.policy.force(circuit, Control(mode, actor, reason, until), now)

        self._decide(actor, reason, step)

    def close(self, *, actor: str, reason: str) -> None:
        """Close the circuit, by the rules again and with nothing counted; else as :meth:`force`."""
        self._decide(
            actor, reason, lambda circuit, now: self.policy.close(circuit, now, actor, reason)
        )

    def reset(self, *, actor: str, reason: str) -> None:
        """Forget all that is known of the upstream; else as :meth:`force`."""
        self._decide(
            actor, reason, lambda circuit, now: self.policy.reset(circuit, now, actor, reason)
        )

    def snapshot(self) -> dict[str, Any]:
        """Return what is known now, with what was gathered here, as JSON-ready values."""
        circuit = self.circuit.sync()
        told = snapshot(self.upstream, self.policy, circuit, self.circuit.now)
        return {**told, "storage": self.circuit.storage.address}

    def _decide(self, actor: str, reason: str, step: Callable[[Circuit, float], Circuit]) -> None:
        check("actor", actor, ACTOR)
        check("reason", reason, REASON)
        if self.policy.mode == "disabled":
            raise ConfigurationError(
                f"The circuit breaker of {self.upstream} is disabled by its settings, so nobody "
                "can open or close it; set its mode to 'enforce' or 'observe'.",
                upstream=self.upstream,
            )
        self.circuit.apply_for_all(lambda circuit, now: (step(circuit, now), None))
        self._drop_host()

    def _admit(self, lease: float) -> Permit:
        if self._host_gate is None:
            return self._gate.admit(lease)
        self.circuit.look()
        gate = self._host
        if gate is None:
            return self._gate.admit(lease)
        host = gate.admit(lease)
        try:
            return replace(self._gate.admit(lease), host=host)
        except CircuitOpenError:
            gate.record(host, NOTHING)
            raise

    def _is_within_trial(self) -> bool:
        circuit = self.circuit.view.circuit
        return any(
            owner is self.circuit and circuit.holds(permit) for owner, permit in trials.get()
        )

    @property
    def _counts_host_faults(self) -> bool:
        return self.circuit.storage.shared and self.circuit.view.circuit.control is None

    @property
    def _host(self) -> Gate | None:
        """Return the gate for faults of this host; none while people decide, who mean all."""
        return self._host_gate if self.circuit.view.circuit.control is None else None

    def _release_abandoned(self) -> None:
        with suppress(IndexError):  # another thread may be at it
            while True:
                self.release(self._abandoned.popleft())

    def _record_host(self, permit: Permit, evidence: Evidence) -> None:
        gate = self._host_gate
        if gate is None:
            gate = self._host_gate = Gate(self._circuit_in(NoStorage()))
            self.circuit.ask_each_time(True)
        gate.record(permit.host or gate.circuit.view.permit, evidence)
        circuit = gate.circuit.view.circuit
        recent = self.policy.recent(circuit, gate.circuit.now)
        if circuit.state is State.CLOSED and not (circuit.failures or recent.failures):
            self._drop_host()

    def _circuit_in(self, storage: CircuitStorage) -> SharedCircuit:
        return SharedCircuit(self.upstream, self.policy, storage, self._clock, self._on_event)

    def _drop_host(self) -> None:
        self._host_gate = None
        self.circuit.ask_each_time(False)
