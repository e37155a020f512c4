"""Which records to show: one small filter for each option.

A filter also names bytes of which one must stand in a line it accepts, so that most lines need not
be parsed.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .record import Record, needle, parse_time

LEVELS = ("debug", "info", "warning", "error", "critical")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
Accepts: TypeAlias = Callable[[Record], bool]
Operation: TypeAlias = Callable[[Any, Any], bool]
ORDERS: Mapping[str, Operation] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_CONDITION = re.compile(r"([\w.@-]+?)\s*(!=|>=|<=|=|>|<|~)\s*(.*)", re.ASCII | re.DOTALL)
_STATUS = re.compile(r"[1-5](?:\d\d|xx)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition.

    :param accepts: Says whether a record is wanted.
    :param needles: One of them stands in the line of each wanted record; none if nobody knows.
    """

    accepts: Accepts
    needles: tuple[bytes, ...] = ()

    def may_accept(self, data: bytes) -> bool:
        """Say whether a wanted record may be in *data*, a line or many."""
        return not self.needles or any(one in data for one in self.needles)


def at_least(level: str) -> Filter:
    """Accept records of a level or a more severe one."""
    wanted = LEVELS[LEVELS.index(level) :]
    needles = [name.encode() for level in wanted for name in (level, level.upper())]
    return Filter(lambda record: record.text("level").lower() in wanted, tuple(needles))


def with_status(text: str) -> Filter:
    """Accept records of HTTP statuses: ``404``, ``5xx``, or several with commas between.

    :raises ValueError: If it is none of these.
    """
    ranges = [one.strip().lower() for one in text.split(",")]
    if not all(_STATUS.fullmatch(one) for one in ranges):
        raise ValueError(f"{text!r} is not a status such as 404, or 5xx, or 404,5xx.")
    pattern = re.compile("|".join(ranges).replace("x", "[0-9]"))
    name = "http_response_status_code"
    return Filter(lambda record: bool(pattern.fullmatch(record.text(name))), (name.encode(),))


def matching(name: str, pattern: str) -> Filter:
    """Accept records of which a field is as *pattern* says; ``*`` stands for anything."""
    parts = pattern.split("*")
    whole = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
    found = max((needle(part) for part in parts), key=len)
    return Filter(
        lambda record: name in record.fields and bool(whole.fullmatch(record.text(name))),
        (found,) if found else (),
    )


def exactly(name: str, value: str) -> Filter:
    """Accept records of which a field has this value."""
    found = needle(value)
    return Filter(lambda record: record.text(name) == value, (found,) if found else ())


def slower_than(milliseconds: float) -> Filter:
    """Accept records of something that took so long or longer."""

    def accepts(record: Record) -> bool:
        taken = record.number("duration_ms")
        return taken is not None and taken >= milliseconds

    return Filter(accepts, (b"duration_ms",))


def since(text: str, now: float) -> Filter:
    """Accept records that are not older: ``90s``, ``15m``, ``2h``, ``7d``, or a time of RFC 3339.

    :param now: Current time, in seconds since the epoch.
    :raises ValueError: If it is none of these.
    """
    ago = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)([smhd])", text)
    start = now - float(ago[1]) * UNITS[ago[2]] if ago else parse_time(text)
    if start is None:
        raise ValueError(f"{text!r} is neither a duration such as 15m or 2h nor an RFC 3339 time.")

    def accepts(record: Record) -> bool:
        written = record.time
        return written is not None and written >= start

    return Filter(accepts)


def where(condition: str) -> Filter:
    """Accept records that have a field and meet a condition on it, as ``attempt>1``.

    ``=`` and ``!=`` compare the value as it is written, ``~`` looks for a regular expression in it,
    ``>``, ``<``, ``>=`` and ``<=`` compare numbers, and text by the order of its characters.

    :raises ValueError: If it is no condition.
    """
    found = _CONDITION.fullmatch(condition)
    if found is None:
        raise ValueError(f"{condition!r} is not a FIELD, one of = != > < >= <= ~, and a VALUE.")
    name, sign, value = found.groups()
    holds = _condition(sign, value)
    return Filter(
        lambda record: name in record.fields and holds(record.fields[name]), (needle(name),)
    )


def _condition(sign: str, value: str) -> Callable[[Any], bool]:
    if sign == "~":
        try:
            pattern = re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is not a regular expression: {error}.") from None
        return lambda field: bool(pattern.search(_written(field)))
    if sign in ORDERS:
        return _order(ORDERS[sign], value)
    number = _number(value)

    def equal(field: Any) -> bool:
        if isinstance(field, (int, float)) and not isinstance(field, bool):
            return bool(field == number)
        return _written(field) == value

    return equal if sign == "=" else lambda field: not equal(field)


def _order(compare: Operation, value: str) -> Callable[[Any], bool]:
    number = _number(value)

    def holds(field: Any) -> bool:
        if isinstance(field, str):
            return compare(field, value)
        is_number = isinstance(field, (int, float)) and not isinstance(field, bool)
        return is_number and number is not None and compare(field, number)

    return holds


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _written(value: Any) -> str:
    """Return a value as JSON writes it, text without its quotes."""
    return value if isinstance(value, str) else json.dumps(value)


def chosen(options: Mapping[str, Any], now: float) -> Iterator[Filter]:
    """Yield a filter for each option that was given.

    :raises ValueError: If a value has not the form it must have.
    """
    makers: Sequence[tuple[str, Callable[[Any], Filter]]] = (
        ("request_id", lambda value: exactly("request_id", value)),
        ("status", with_status),
        ("slow", slower_than),
        ("event", lambda value: matching("event", value)),
        ("route", lambda value: matching("http_route", value)),
        ("upstream", lambda value: matching("upstream", value)),
        ("level", at_least),
        ("since", lambda value: since(value, now)),
    )
    for name, make in makers:
        if options[name] is not None:
            yield make(options[name])
    for condition in options["where"]:
        yield where(condition)
