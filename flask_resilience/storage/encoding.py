"""A circuit as text, for storages that keep bytes.

The text is JSON without what is at its default, so that a healthy circuit is short. What a newer
version wrote and this one does not know is left out; text that is no circuit is none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from typing import Any, Generic, TypeAlias, TypeVar

from ..policies.circuit import Circuit, Control, Mode, State, Transition, Trial
from ..policies.window import Bucket, Window

Part: TypeAlias = Callable[[object], object]
"""Turns a JSON value into a field's, or raises ``ValueError``."""

LARGEST = 2**63
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shape(Generic[T]):
    """What the JSON object of one dataclass may hold.

    :param parts: How each field is read, by its name.
    """

    kind: type[T]
    parts: Mapping[str, Part]

    def __call__(self, value: object) -> T:
        """Return *value* as an instance; a key that is no field is ignored."""
        if not isinstance(value, dict):
            raise ValueError
        return self.kind(
            **{name: part(value[name]) for name, part in self.parts.items() if name in value}
        )


def encode(circuit: Circuit) -> str:
    """Return *circuit* as text that :func:`decode` turns into an equal one.

    >>> encode(Circuit(state=State.OPEN, generation=1))
    '{"state":"open","generation":1}'
    """
    return json.dumps(circuit, default=_plain, separators=(",", ":"))


def decode(text: str | bytes) -> Circuit | None:
    """Return the circuit that *text* holds, or ``None`` if it holds none.

    >>> decode('{"failures":2,"of a newer version":[]}').failures
    2
    """
    try:
        return CIRCUIT(json.loads(text))
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None


def _plain(value: object) -> object:
    """Return what ``json`` does not know as something that it does."""
    if isinstance(value, Enum):
        return value.value
    defaults = DEFAULTS[type(value)]
    named = ((name, getattr(value, name), default) for name, default in defaults.items())
    return {name: own for name, own, default in named if own != default}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST:
        raise ValueError
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _maybe(part: Part) -> Part:
    return lambda value: None if value is None else part(value)


def _each(part: Part) -> Part:
    def read(value: object) -> object:
        if not isinstance(value, list):
            raise ValueError
        return tuple(part(one) for one in value)

    return read


BUCKET = Shape(Bucket, {"start": _number, "successes": _whole, "failures": _whole, "slow": _whole})
WINDOW = Shape(Window, {"buckets": _each(BUCKET)})
TRIAL = Shape(Trial, {"number": _whole, "expires_at": _number})
CONTROL = Shape(Control, {"mode": Mode, "actor": _text, "reason": _text, "until": _maybe(_number)})
TRANSITION = Shape(
    Transition,
    {
        "generation": _whole,
        "from_state": State,
        "to_state": State,
        "at": _number,
        "reason": _text,
        "actor": _maybe(_text),
        "calls": _whole,
        "failures": _whole,
        "failure_rate": _number,
        "slow_rate": _number,
        "open_for": _maybe(_number),
    },
)
CIRCUIT = Shape(
    Circuit,
    {
        "state": State,
        "generation": _whole,
        "window": WINDOW,
        "failures": _whole,
        "successes": _whole,
        "since": _number,
        "open_until": _number,
        "reopened": _whole,
        "trials": _each(TRIAL),
        "trials_started": _whole,
        "last_failure": _text,
        "last_failure_at": _maybe(_number),
        "rejected": _whole,
        "control": _maybe(CONTROL),
        "transitions": _each(TRANSITION),
    },
)


def _defaults(kind: type[Any]) -> dict[str, object]:
    """Return the default of each field by its name; ``MISSING`` for none, which equals nothing."""
    return {
        one.name: one.default if one.default_factory is MISSING else one.default_factory()
        for one in fields(kind)
    }


DEFAULTS: dict[type[Any], dict[str, object]] = {
    kind: _defaults(kind) for kind in (Bucket, Window, Trial, Control, Transition, Circuit)
}
