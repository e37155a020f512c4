"""One line of JSON from whatever was logged; it never raises and never breaks a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def encode(fields: dict[str, Any]) -> str:
    """Return *fields* as one ASCII-only line of JSON, without the line's end.

    Values JSON has no word for (bytes, dates, NaN, objects, cycles) appear as their ``repr``.
    """
    try:
        return _dumps(fields)
    except (ValueError, TypeError, RecursionError):
        return _dumps({str(key): _sayable(value) for key, value in fields.items()})


def describe(value: object, say: Callable[[object], str] = repr) -> str:
    """Return *value* as text, whatever its ``repr`` or ``str`` does."""
    try:
        return say(value)
    except Exception as error:  # a broken method of the user's must not break the log
        return f"<{type(value).__name__}: {say.__name__} raised {type(error).__name__}>"


_dumps = json.JSONEncoder(default=describe, allow_nan=False, separators=(",", ":")).encode


def _sayable(value: Any) -> Any:
    """Return *value*, or what describes it where JSON cannot say it."""
    try:
        _dumps(value)
    except (ValueError, TypeError, RecursionError):
        return describe(value)
    return value
