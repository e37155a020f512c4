"""How long a storage keeps a circuit that nobody writes again."""

from __future__ import annotations

from .circuit import Circuit
from .circuit_breaker import CircuitBreakerPolicy

HOUR = 3600.0
YEAR = 365 * 24 * HOUR


def time_to_live(circuit: Circuit, policy: CircuitBreakerPolicy, now: float) -> float:
    """Return how long to keep *circuit*, in seconds.

    One that never opened is forgotten when its window is; another well past the last moment it
    speaks of: ten recovery times, or an hour. So a storage that must drop some circuits, and drops
    those first that expire first, drops the healthy ones first.

    :param now: The storage's time.
    """
    forgotten = 2 * policy.window
    if not circuit.generation:
        return forgotten
    speaks_of = [now, circuit.open_until, *(trial.expires_at for trial in circuit.trials)]
    if circuit.control is not None:
        until = circuit.control.until
        speaks_of.append(now + YEAR if until is None else until)
    return forgotten + max(speaks_of) - now + max(HOUR, 10 * policy.recovery_timeout)
