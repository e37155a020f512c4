"""One line of JSON from whatever was logged; it never raises and never breaks a line."""

from __future__ import annotations

import json
from typing import Any


def encode(fields: dict[str, Any]) -> str:
    """Return *fields* as one ASCII-only line of JSON, without the line's end.

    Values JSON has no word for (bytes, dates, NaN, objects, cycles) appear as their ``repr``.
    """
    try:
        return json.dumps(fields, default=_describe, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError):
        plain = {str(key): _plain(value) for key, value in fields.items()}
        return json.dumps(plain, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """Keep what JSON can say; describe the rest."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return _describe(value)
    return value


def _describe(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # a broken __repr__ of the user's must not break the log
        return f"<{type(value).__name__}: repr raised {type(error).__name__}>"
