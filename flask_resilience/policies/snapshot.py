"""What people are shown of a circuit."""

from __future__ import annotations

import dataclasses
from typing import Any

from .circuit import Circuit, State, Transition
from .circuit_breaker import CircuitBreakerPolicy


def snapshot(
    name: str, policy: CircuitBreakerPolicy, circuit: Circuit, now: float
) -> dict[str, Any]:
    """Return a circuit as JSON-ready values; times are seconds since the epoch, or ``None``.

    :param now: The storage's time.
    """
    circuit = policy.tick(circuit, now)
    opened = [one.at for one in circuit.transitions if one.to_state is State.OPEN]
    closed = circuit.state is State.CLOSED
    window = policy.recent(circuit, now) if closed else circuit.window
    control = circuit.control
    return {
        "name": name,
        "state": circuit.state.value,
        "since": circuit.since if circuit.generation else None,
        "open_until": circuit.open_until if circuit.state is State.OPEN else None,
        "failures_in_a_row": circuit.failures,
        "failure_threshold": policy.failure_threshold,
        "failure_count": window.failures,
        "failure_rate": window.failure_rate,
        "slow_count": window.slow,
        "slow_rate": window.slow_rate,
        "calls": window.calls,
        "success_count": circuit.successes,
        "success_threshold": policy.success_threshold,
        "rejected_total": circuit.rejected,
        "opened_at": opened[-1] if opened else None,
        "last_failure": circuit.last_failure or None,
        "last_failure_time": circuit.last_failure_at,
        "control": None if control is None else {**_plain(control), "mode": control.mode.value},
        "config": _plain(policy),
        "transitions": [_transition(one) for one in circuit.transitions],
    }


def _transition(transition: Transition) -> dict[str, Any]:
    states = {"from_state": transition.from_state.value, "to_state": transition.to_state.value}
    return {**_plain(transition), **states}


def _plain(values: Any) -> dict[str, Any]:
    return {one.name: getattr(values, one.name) for one in dataclasses.fields(values)}
