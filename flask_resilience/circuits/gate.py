"""The gate before one circuit: attempts pass or are turned away, and what they came to is kept."""

from __future__ import annotations

from dataclasses import replace

from ..policies.circuit import Circuit, Evidence, Permit, State
from ..policies.outcome import Outcome
from .shared_circuit import SharedCircuit


class Gate:
    """Ask a circuit for permits, and hand it the evidence, as cheaply as its state allows.

    :param circuit: Whose permits they are.
    """

    __slots__ = ("circuit",)

    def __init__(self, circuit: SharedCircuit) -> None:
        self.circuit = circuit

    @property
    def known_state(self) -> State:
        """Return the state as far as is known, without asking anybody."""
        known = self.circuit.view.circuit
        if known.state is State.CLOSED:  # which no time ends
            return known.state
        return self.circuit.policy.tick(known, self.circuit.now).state

    def rejects(self) -> bool:
        """Say whether an attempt made now would be rejected."""
        view = self.circuit.look()
        return self.circuit.policy.admit(view.circuit, self.circuit.now, 0.0)[1] is None

    def admit(self, lease: float) -> Permit:
        """Ask leave for one attempt.

        :param lease: How long a trial may take before it counts as failed, in seconds.
        :raises CircuitOpenError: If the circuit rejects it.
        """
        shared = self.circuit
        view = shared.look()
        if view.circuit.state is State.CLOSED and view.circuit.control is None:
            return view.permit
        now = shared.monotonic()
        if now < view.rejects_until:
            raise shared.rejection(view, now)

        def step(circuit: Circuit, now: float) -> tuple[Circuit, Permit | None]:
            return shared.policy.admit(circuit, now, lease)

        permit = shared.apply_if_changing(step)
        if permit is None:
            raise shared.rejection(shared.view, now)
        return replace(permit, alone=True) if shared.view.alone else permit

    def record(self, permit: Permit, evidence: Evidence) -> None:
        """Let the circuit learn what an attempt came to.

        A success that neither ends a run of failures nor tips a share is gathered; the first of
        those that come when the storage is to be asked again carries them there.
        """
        shared = self.circuit

        def step(circuit: Circuit, now: float) -> tuple[Circuit, None]:
            if permit.alone and not shared.view.alone:
                return circuit, None  # of a trial that nobody else knew of
            return shared.policy.record(circuit, permit, evidence, now), None

        if permit.trial is not None:
            shared.submit(step)
        elif evidence.outcome is Outcome.SUCCESS and not evidence.slow and self._gathers(permit):
            shared.gather(shared.monotonic())
        elif evidence.outcome is not Outcome.IGNORED and shared.holds(permit):
            shared.submit(step)

    def _gathers(self, permit: Permit) -> bool:
        view, now = self.circuit.view, self.circuit.monotonic()
        if permit.generation != view.circuit.generation:
            return False
        settled = now < view.due or not self.circuit.claim(now)
        return settled and view.gathers
