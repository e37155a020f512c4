"""Make a line short enough to be written whole, and keep the most telling parts of it.

The stack trace gives way first, in its middle, then other long values, at their end; then fields
are left out, the last first. Sizes are bytes of JSON.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from typing import Any, TypeAlias

Fields: TypeAlias = dict[str, Any]
MARK = "[...]"
TRACE = "exception_stacktrace"
SHORTEST_TRACE = 1000
"""What is left to the stack trace while other values are long, too."""
SHORTEST_VALUE = 48
KEPT = frozenset(
    {"timestamp", "level", "event", "logger", "service", "pid", "truncated"}
    | {"request_id", "trace_id", "span_id", "parent_span_id"}
)


def fit(fields: Fields, size: int, encode: Callable[[Fields], str]) -> str:
    """Return the line of *fields*, cut until it has at most *size* bytes.

    :param encode: Makes the line, of ASCII only.
    """
    fields = {**fields, "truncated": True}
    line = encode(fields)
    for cut in (_cut_trace, _cut_values, _cut_values, _leave_out):
        over = len(line) - size
        if over > 0:
            fields = cut(fields, over)
            line = encode(fields)
    return line


def _cut_trace(fields: Fields, over: int) -> Fields:
    trace = fields.get(TRACE)
    if not isinstance(trace, str):
        return fields
    size = max(_width(trace) - over, SHORTEST_TRACE)
    return {**fields, TRACE: shorten_trace(trace, size, str(fields.get("exception_type", "")))}


def _cut_values(fields: Fields, over: int) -> Fields:
    """Cut the longest values to one size, so that as little as possible of each is lost."""
    widths = {key: _width(value) for key, value in fields.items()}
    most = _level(sorted(widths.values()), over)
    name = str(fields.get("exception_type", ""))
    return {
        key: value
        if widths[key] <= most
        else shorten_trace(value, most, name)
        if key == TRACE and isinstance(value, str)
        else _shorten(value, most)
        for key, value in fields.items()
    }


def _level(widths: list[int], over: int) -> int:
    """Return to which size the longest must be cut to save *over* bytes; widths are ascending."""
    saved = 0
    for count in range(1, len(widths) + 1):
        longest = widths[-count]
        shorter = widths[-count - 1] if count < len(widths) else 0
        if saved + (longest - shorter) * count >= over:
            return max(longest - -(-(over - saved) // count), SHORTEST_VALUE)
        saved += (longest - shorter) * count
    return SHORTEST_VALUE


def _leave_out(fields: Fields, over: int) -> Fields:
    kept = dict(fields)
    for key in reversed(fields):
        if over <= 0:
            break
        if key not in KEPT:
            over -= _width(str(key)) + _width(kept.pop(key)) + 2
    return kept


def shorten_trace(trace: str, size: int, exception_type: str) -> str:
    """Return the beginning and the end of a stack trace, the exception's own line last.

    :param exception_type: The class that the last line begins with, maybe behind its module.
    """
    if _width(trace) <= size:
        return trace
    own = max(trace.rstrip("\n").rfind("\n") + 1, 0)
    for found in re.finditer(rf"^[\w.]*\b{re.escape(exception_type)}\b", trace, re.MULTILINE):
        own = found.start()
    last = _beginning(trace[own:], size // 2)
    left = max(size - _width(last) - len(MARK) - 6, 0)
    head = _beginning(trace[:own], left // 3, mark="")
    tail = _end(trace[len(head) : own], left - _width(head))
    return f"{_whole_lines(head)}{MARK}\n{tail.partition(chr(10))[2]}{last}"


def _whole_lines(text: str) -> str:
    return text[: text.rfind("\n") + 1]


def _shorten(value: Any, size: int) -> Any:
    """Return *value* with as much of it as fits, in its own type."""
    if isinstance(value, str):
        return _beginning(value, size)
    if isinstance(value, Mapping):
        return dict(_as_many_as_fit(list(value.items()), size))
    if isinstance(value, (list, tuple)):
        return [item for _, item in _as_many_as_fit([("", item) for item in value], size)]
    return value


def _as_many_as_fit(items: list[tuple[Any, Any]], size: int) -> list[tuple[Any, Any]]:
    kept = []
    left = size - 2
    for key, value in items:
        room = left - _width(str(key)) - 2
        shortened = value if _width(value) <= room else _shorten(value, room)
        left = room - _width(shortened)
        if left < 0:
            break
        kept.append((key, shortened))
    return kept


def _beginning(text: str, size: int, mark: str = MARK) -> str:
    """Return *text*, or what fits of its beginning, and a mark."""
    if _width(text) <= size:
        return text
    size -= len(mark)
    longest = range(min(len(text), max(size, 0)) + 1)
    end = bisect_right(longest, size, key=lambda length: _width(text[:length])) - 1
    return text[: max(end, 0)] + mark


def _end(text: str, size: int) -> str:
    """Return what fits of the end of *text*."""
    longest = range(min(len(text), max(size, 0)) + 1)
    length = bisect_right(longest, size, key=lambda length: _width(text[len(text) - length :])) - 1
    return text[len(text) - max(length, 0) :]


def _width(value: Any) -> int:
    """Return how many bytes *value* takes in the line."""
    if isinstance(value, str):
        return len(encode_basestring_ascii(value))
    if isinstance(value, Mapping):
        inner = sum(_width(str(key)) + _width(item) + 2 for key, item in value.items())
        return max(inner + 1, 2)
    if isinstance(value, (list, tuple)):
        return max(sum(_width(item) + 1 for item in value) + 1, 2)
    if isinstance(value, int) and value.bit_length() > 64:  # may be too long for str
        return value.bit_length() * 3 // 10 + 2
    return len(str(value))
