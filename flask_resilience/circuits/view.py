"""What one process knows of a shared circuit, and what that says of the calls that come next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from ..policies.circuit import NEW, Circuit, Permit
from ..policies.circuit_breaker import CircuitBreakerPolicy
from .circuit_storage import ABSENT

SYNC_SECONDS = 0.25
"""How old what is known may be before the storage is asked again, in seconds."""
_FIRST_PERMIT = Permit(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What this process knows of the circuit; times without a word are the clock's monotonic ones.

    :param stored: What the storage held at *version*; alone, the circuit goes on from there.
    :param read_at: The storage's time when it held that.
    :param alone: Whether the circuit has gone on without the storage since.
    :param offset: The storage's time less the clock's.
    :param since: When the storage was last asked.
    :param due: When it is to be asked again.
    :param passes_until: Until when calls pass unasked, as the circuit is closed and healthy.
    :param rejects_until: Until when calls are rejected unasked, as the circuit is open.
    :param retry_at: When those that are rejected may come back.
    :param why_rejected: What they are told.
    :param gathers: Whether a success may wait until the storage is asked again.
    :param permit: For those that pass.
    """

    circuit: Circuit = NEW
    stored: Circuit | None = None
    version: str = ABSENT
    read_at: float = -inf
    alone: bool = False
    offset: float = 0.0
    since: float = -inf
    due: float = -inf
    passes_until: float = -inf
    rejects_until: float = -inf
    retry_at: float = -inf
    why_rejected: str = ""
    gathers: bool = False
    permit: Permit = _FIRST_PERMIT

    @property
    def never_read(self) -> bool:
        """Return whether the storage was never asked."""
        return self.read_at == -inf

    def outdated(self) -> View:
        """Return the view as one by which no call may go unasked."""
        return replace(self, since=-inf, due=-inf, passes_until=-inf, rejects_until=-inf)

    def gated(self, policy: CircuitBreakerPolicy, asking: bool) -> View:
        """Return the view with what it says of calls that come before it is due.

        :param asking: Whether each call is to be asked about all the same.
        """
        circuit, passes_until, rejects_until, retry_at = self.circuit, -inf, -inf, -inf
        if policy.rejects(circuit):
            retry_at = self.since + policy.retry_after(circuit, self.since + self.offset)
            rejects_until = min(self.due, retry_at)
        gathers = policy.gathers(circuit)
        if gathers and rejects_until == -inf:
            passes_until = self.due
        return replace(
            self,
            gathers=gathers,
            passes_until=-inf if asking else passes_until,
            rejects_until=-inf if asking else rejects_until,
            retry_at=retry_at,
            why_rejected=circuit.why_rejected,
            permit=Permit(circuit.generation),
        )
