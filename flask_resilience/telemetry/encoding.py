"""One line of JSON from whatever was logged; it never raises and never breaks a line.

orjson does the work where it is installed. It is asked only for what it says letter by letter as
the standard library does, but for one thing: an exponent, ``1e16`` instead of ``1e+16``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

DEEPEST = 3
"""Objects within objects of which only the value that JSON cannot say is described."""


def encode(fields: dict[str, Any]) -> str:
    """Return *fields* as one ASCII-only line of JSON, without the line's end.

    Values JSON has no word for (bytes, dates, NaN, objects, cycles) appear as their ``repr``.
    """
    try:
        return _dumps(fields)
    except (ValueError, TypeError, RecursionError):
        return _slow_dumps({str(key): _sayable(value) for key, value in fields.items()})


def choose_encoder() -> None:
    """Encode with orjson from now on, if it is installed."""
    global _dumps  # noqa: PLW0603  # one for the process, as logging is
    try:
        _dumps = _dumps_with(import_module("orjson"))
    except ImportError:
        _dumps = _slow_dumps


def describe(value: object, say: Callable[[object], str] = repr) -> str:
    """Return *value* as text, whatever its ``repr`` or ``str`` does."""
    try:
        return say(value)
    except Exception as error:  # a broken method of the user's must not break the log
        return f"<{type(value).__name__}: {say.__name__} raised {type(error).__name__}>"


_slow_dumps = json.JSONEncoder(default=describe, allow_nan=False, separators=(",", ":")).encode
_dumps: Callable[[Any], str] = _slow_dumps


def _dumps_with(orjson: ModuleType) -> Callable[[Any], str]:
    dumps: Callable[..., bytes] = orjson.dumps
    options = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME

    def fast_dumps(value: Any) -> str:
        try:
            told = dumps(value, _plain, options)
        except (ValueError, TypeError, RecursionError):
            return _slow_dumps(value)
        if not told.isascii() or b"null" in told or b"\x7f" in told:  # null may have been a NaN
            return _slow_dumps(value)
        return told.decode("ascii")

    return fast_dumps


def _plain(value: object) -> object:
    """Return what orjson writes for a value of a class it does not know."""
    return float(value) if isinstance(value, float) else describe(value)


def _sayable(value: Any, depth: int = 0) -> Any:
    """Return *value*, or what describes it where JSON cannot say it.

    A preset puts fields into objects, where each must be looked at for itself.
    """
    try:
        _slow_dumps(value)
    except (ValueError, TypeError, RecursionError):
        if depth < DEEPEST and isinstance(value, dict) and all(map(_is_text, value)):
            return {key: _sayable(item, depth + 1) for key, item in value.items()}
        return describe(value)
    return value


def _is_text(value: object) -> bool:
    return isinstance(value, str)
