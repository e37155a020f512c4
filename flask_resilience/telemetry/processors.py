"""The steps that make a line of what was logged: plain functions of one shape, in one order.

Each takes the logger, the level's name and the fields, and returns the fields of the next step; the
last returns the line.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias, cast

from structlog.contextvars import merge_contextvars
from structlog.dev import ConsoleRenderer
from structlog.processors import StackInfoRenderer
from structlog.typing import EventDict, Processor, WrappedLogger

from ..context import current_request
from ..open_telemetry import active_span
from ..trace_context import Span
from .encoding import describe, encode
from .output import LONGEST_IN_PIPE, longest_line
from .presets import PRESETS, present
from .redaction import are_plain_names, is_plain_text, redact, redact_text
from .whole_line import fit

SPAN_FIELDS = ("trace_id", "span_id", "parent_span_id")
"""What a line says of its span, in the order in which a span holds it."""
_LEVELS = {50: "critical", 40: "error", 30: "warning", 20: "info"}
_ALIASES = {"warn": "warning", "exception": "error", "fatal": "critical"}
_ANSI_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_PLAIN_TYPES = frozenset({str, int, float, bool, type(None)})
_RECORD_FIELDS = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "_logger", "_name"}
)
"""What is no field of the user's: the record's own, and what other handlers leave there."""
_WRITTEN = "_flask_resilience_written"
UNNAMED = "python"
"""What ``service`` says where nobody has named it."""
ExcInfo: TypeAlias = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


@dataclass(slots=True)
class Setup:
    """How lines look in this process.

    :param service: What ``service`` says outside a request.
    :param preset: Whose names the fields have.
    """

    format: str = "json"
    service: str = UNNAMED
    preset: str = "structlog"


setup = Setup()
"""The set-up in force, which :mod:`flask_resilience.telemetry.logging` changes."""


def _add_core(logger: WrappedLogger, level: str, fields: EventDict) -> EventDict:
    """Put the fields every line has first; a field of the user's never takes their place."""
    event = fields.pop("event", "")
    request = current_request()
    serving = None if request is None else request.service
    of_request = None if request is None else request.span
    span: Span | None = getattr(logger, "span", None) or active_span() or of_request
    core: EventDict = {
        "timestamp": _timestamp(),
        "level": _ALIASES.get(level, level),
        "event": event if isinstance(event, str) else describe(event, str),
        "logger": getattr(logger, "name", "root"),
        "service": getattr(logger, "service", None) or serving or setup.service,
        "pid": os.getpid(),
    }
    if request is not None:
        core["request_id"] = request.request_id
        if fields.get("request_id") == request.request_id:  # bound for the user's own processors
            del fields["request_id"]
    if span is not None:
        core.update(zip(SPAN_FIELDS, span, strict=False))
    if not core.keys().isdisjoint(fields) or "truncated" in fields:
        taken = core.keys() | {"truncated"}
        fields = {f"user_{key}" if key in taken else key: fields[key] for key in fields}
    line = {**core, **fields}
    if span is not None and span.parent_span_id is None:
        del line["parent_span_id"]
    return line


def _timestamp() -> str:
    second, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
    return f"{_to_the_second(second)}.{microseconds:06d}Z"


@lru_cache(maxsize=1)
def _to_the_second(second: int) -> str:
    return datetime.fromtimestamp(second, timezone.utc).isoformat()[:19]


def _add_exception(logger: WrappedLogger, level: str, fields: EventDict) -> EventDict:
    """Turn ``exc_info`` into the exception's type, message and stack trace, without locals."""
    if "exc_info" not in fields:
        return fields
    error = _exception(fields.pop("exc_info"))
    if error is not None:
        fields.update(_words_of(error))
        fields["exception_stacktrace"] = describe(error, _stacktrace)
    return fields


def _words_of(error: BaseException) -> dict[str, str]:
    return {
        "exception_type": type(error).__name__,
        "exception_message": describe(error, str),
    }


def note_traceback(error: BaseException) -> None:
    """Note that a line with the traceback of *error* was written: a server's next needs it not."""
    vars(error)[_WRITTEN] = True


def _take_note(error: BaseException) -> bool:
    """Say, once, whether the traceback of *error* was written, or one that ends in the same place.

    Flask tells of a hook that fails for the answer to its own failure, too.
    """
    first = error.__context__
    again = first is not None and _raised_at(first) == _raised_at(error)
    told = (error, first) if first is not None and again else (error,)
    notes = [vars(one).pop(_WRITTEN, False) for one in told]
    return any(notes)


def _raised_at(error: BaseException) -> tuple[object, int] | None:
    last = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        last = (frame.f_code, line)
    return last


def _stacktrace(error: object) -> str:
    return "".join(traceback.format_exception(cast("BaseException", error)))


def _redact(logger: WrappedLogger, level: str, fields: EventDict) -> EventDict:
    if _are_plain(fields):
        return fields
    redacted = {describe(key, str): _redact_field(value, key) for key, value in fields.items()}
    return {redact_text(key): value for key, value in redacted.items()}


def _are_plain(fields: EventDict) -> bool:
    """Say at little cost whether no field shows a secret; most lines are such."""
    values = fields.values()
    if not _PLAIN_TYPES.issuperset(map(type, values)):
        return False
    try:
        names_are_plain = are_plain_names(tuple(fields))
    except TypeError:  # a key that is no text
        return False
    return names_are_plain and is_plain_text("\n".join([one for one in values if type(one) is str]))


def _redact_field(value: Any, name: str) -> Any:
    try:
        return redact(value, name)
    except Exception:  # a broken or changing object of the user's must not break the log
        return redact_text(describe(value))


def _render(logger: WrappedLogger, level: str, fields: EventDict) -> str:
    if setup.format != "console":
        return _render_json(cast("dict[str, Any]", fields))
    if "exception_stacktrace" in fields:
        fields["exception"] = fields.pop("exception_stacktrace")
    for name in {"exception", "stack"} & fields.keys():  # which it writes as they are
        fields[name] = str(fields[name])
    return ConsoleRenderer(colors=_is_terminal())(logger, level, fields)


def _render_json(fields: dict[str, Any]) -> str:
    line = _encode_as_preset(fields)
    if len(line) < LONGEST_IN_PIPE or len(line) < (longest := longest_line()):
        return line
    return fit(fields, longest - 1, _encode_as_preset)


def _encode_as_preset(fields: dict[str, Any]) -> str:
    if setup.preset != "structlog":
        fields = present(fields, PRESETS[setup.preset])
    return encode(fields)


def _is_terminal() -> bool:
    try:
        return sys.stdout.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


class Origin(NamedTuple):
    """Where a line comes from that structlog has no logger for, as processors know it.

    :param service: What ``service`` says, if not the name of the app that serves the request.
    :param span: Which it belongs to, if that is not the current one.
    """

    name: str
    service: str | None = None
    span: Span | None = None


def render_record(record: logging.LogRecord) -> str:
    """Return the line of a stdlib record."""
    fields: Any = {}
    if isinstance(record.msg, dict) and hasattr(record, "_logger"):  # structlog wrapped it
        fields.update(record.msg)
    else:
        fields["event"] = _without_colours(record.getMessage())
        if added := vars(record).keys() - _RECORD_FIELDS:
            fields.update({key: value for key, value in vars(record).items() if key in added})
        error = _exception(record.exc_info)
        if error is not None:
            fields.update(_words_of(error) if _take_note(error) else {"exc_info": error})
        if record.stack_info:
            fields["stack"] = record.stack_info
    logger, level = Origin(record.name), _level_name(record.levelno)
    for process in PROCESSORS:
        fields = process(logger, level, fields)
    return cast("str", fields)


def _without_colours(text: str) -> str:
    return _ANSI_STYLE.sub("", text) if "\x1b" in text else text


@lru_cache(maxsize=64)
def _level_name(number: int) -> str:
    """Return the one of our five levels that a record's is, or is just above."""
    return next((name for least, name in _LEVELS.items() if number >= least), "debug")


PROCESSORS: Sequence[Processor] = (
    merge_contextvars,
    StackInfoRenderer(),
    _add_exception,
    _redact,
    _add_core,
    _render,
)


def _exception(exc_info: ExcInfo | BaseException | bool | None) -> BaseException | None:
    """Return the exception in any of the forms that loggers take it in."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return next((one for one in exc_info if isinstance(one, BaseException)), None)
    return sys.exc_info()[1] if exc_info else None
