"""One line of a log as a record: its JSON object, whatever stands before or around it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_loads: Callable[[bytes], Any]
try:
    import orjson
except ImportError:  # an extra
    _loads = json.loads
else:
    _loads = orjson.loads

WRAPPERS = ("log", "MESSAGE")
"""Where Docker's json-file driver and ``journalctl -o json`` keep the line they were given."""
LARGEST = 1e15
"""What is larger is no number that we write."""
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|z|[+-]\d\d:\d\d)?")
_PLAIN = re.compile(r"[A-Za-z0-9_.:=@-]+")
"""What every writer of JSON leaves as it is."""


@dataclass(frozen=True, slots=True)
class Record:
    """A JSON object of a log.

    :param fields: What it says.
    :param raw: Its bytes, without what stood around it.
    """

    fields: dict[str, Any]
    raw: bytes

    def text(self, name: str) -> str:
        """Return a field as text; empty if it is not there."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else "" if value is None else str(value)

    def number(self, name: str) -> float | None:
        """Return a field if it is a finite number."""
        value = self.fields.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        return float(value) if abs(value) <= LARGEST else None

    @property
    def event(self) -> str:
        """Return what was logged."""
        return self.text("event")

    @property
    def time(self) -> float | None:
        """Return when it was written, in seconds since the epoch."""
        return parse_time(self.text("timestamp"))


def parse_record(line: bytes) -> Record | None:
    """Return the JSON object in *line*, or ``None``.

    Before it may stand what Docker, Kubernetes or the journal put there; it may also lie in an
    object of theirs.

    >>> parse_record(b'web-1  | {"event": "paid"}').fields
    {'event': 'paid'}
    """
    start = 0 if line.startswith(b"{") else line.find(b'{"')
    raw = line[start:].rstrip()
    if start < 0 or not raw.endswith(b"}"):
        return None
    try:
        fields = _loads(raw)
    except (ValueError, RecursionError):
        return None
    inner = next((fields[name] for name in WRAPPERS if isinstance(fields.get(name), str)), "")
    if '{"' in inner and "event" not in fields:
        return parse_record(inner.encode("utf-8", "surrogatepass"))
    is_text = start > 0 and "event" not in fields  # that ends with an object of its own
    return None if is_text else Record(fields, raw)


def parse_time(text: str) -> float | None:
    """Return a time of RFC 3339 in seconds since the epoch; without an offset it is UTC.

    >>> parse_time("1970-01-01T01:00:00.5+01:00")
    0.5
    """
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    day, time, fraction, offset = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{time}{_offset(offset)}")
    except ValueError:
        return None
    return moment.timestamp() + float(f"0.{fraction or 0}")


def _offset(written: str | None) -> str:
    return "+00:00" if written in (None, "Z", "z") else str(written)


def needle(text: str) -> bytes:
    """Return bytes that stand in every line whose JSON holds *text*; empty if there are none.

    JSON may escape what is not plain, so it is the longest plain part.

    >>> needle("/orders/<int:number>")
    b'int:number'
    """
    return max(_PLAIN.findall(text), key=len, default="").encode()
