"""How the scheduling service fails on demand: what it was told, and whom it hits.

Nothing is random, so that a demonstration comes out the same each time: of *n* requests since it
was told, ``floor(n * share)`` have failed, evenly spread.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from flask_resilience import ConfigurationError
from flask_resilience.rules import Maybe, Number, check, setting
from flask_resilience.testing import FAULTS, Reply


@dataclass(frozen=True, slots=True)
class FailureStatuses:
    """A list of statuses that say something failed."""

    def accept(self, value: object) -> tuple[int, ...]:
        """Return *value* as a tuple; raise ``ValueError`` if it is something else."""
        if not isinstance(value, (list, tuple)) or not value:
            raise ValueError
        if not all(type(status) is int and 400 <= status <= 599 for status in value):
            raise ValueError
        return tuple(value)

    def __str__(self) -> str:
        return "a list of HTTP statuses from 400 to 599"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What the service was told; durations are float seconds."""

    share: float = setting(0.0, Number(0, 1), "the share of requests that fail")
    statuses: tuple[int, ...] = setting(
        (503,), FailureStatuses(), "what they are answered, in turn; nothing is done for them"
    )
    retry_after: float | None = setting(
        None, Maybe(Number(0, 3600, "seconds")), "what they are asked to wait"
    )
    fault: str | None = setting(
        None, Maybe(FAULTS), "instead of a status: how the answer to what was done gets lost"
    )
    delay: float = setting(0.0, Number(0, 60, "seconds"), "pause before every answer")


def read_control(body: bytes) -> Control:
    """Return what the JSON object in *body* tells; what it leaves out is as at the start.

    :raises ConfigurationError: If it is none, or a field is unknown, missing or breaks its rule.
    """
    try:
        given = json.loads(body)
    except ValueError:
        given = None
    rules = {field.name: field.metadata["rule"] for field in dataclasses.fields(Control)}
    if not isinstance(given, dict):
        raise ConfigurationError(f"The body must be a JSON object of {', '.join(rules)}.")
    for name in given:
        if name not in rules:
            raise ConfigurationError(f"{name} is unknown; it must be one of {', '.join(rules)}.")
    if "share" not in given:
        raise ConfigurationError(f"share is missing; it must be {rules['share']}.")
    return Control(**{name: check(name, value, rules[name]) for name, value in given.items()})


class Faults:
    """Decides which request fails, and how."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._control = Control()  # guarded by _lock
        self._since_told = 0  # guarded by _lock
        self._requests = 0  # guarded by _lock

    def tell(self, control: Control) -> None:
        """Let *control* hold from the next request on."""
        with self._lock:
            self._control, self._since_told = control, 0

    def shown(self) -> dict[str, Any]:
        """Return what holds, and how many requests there were since the start."""
        with self._lock:
            return {"control": dataclasses.asdict(self._control), "requests": self._requests}

    def befall(self, act: Callable[[], Reply]) -> Reply:
        """Return the answer to the next request: that of *act*, or what fails in its place.

        To be answered a status means that nothing was done; a fault loses the answer to what was.
        """
        control, failure = self._next()
        if not failure:
            return replace(act(), delay=control.delay)
        if control.fault is not None:
            return replace(act(), delay=control.delay, fault=control.fault)
        headers = {"Content-Type": "application/json"}
        if control.retry_after is not None:
            headers["Retry-After"] = f"{control.retry_after:g}"
        return Reply(
            status=control.statuses[(failure - 1) % len(control.statuses)],
            headers=headers,
            body=b'{"error": "The scheduling service fails, as /control told it to."}',
            delay=control.delay,
        )

    def _next(self) -> tuple[Control, int]:
        """Count a request; return what holds and its number among the failures, zero for none."""
        with self._lock:
            self._requests += 1
            before = math.floor(self._since_told * self._control.share)
            self._since_told += 1
            after = math.floor(self._since_told * self._control.share)
            return self._control, after if after > before else 0
