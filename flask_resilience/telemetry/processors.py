"""The steps that make a line of what was logged: plain functions of one shape, in one order.

Each takes the logger, the level's name and the fields, and returns the fields of the next step; the
last returns the line.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from types import TracebackType
from typing import Any, TypeAlias, cast

from structlog.contextvars import merge_contextvars
from structlog.dev import ConsoleRenderer
from structlog.processors import StackInfoRenderer
from structlog.typing import EventDict, Processor, WrappedLogger

from ..context import current_request
from ..open_telemetry import active_span
from ..trace_context import Span
from .encoding import describe, encode
from .redaction import redact, redact_text

SPAN = "_span"
"""Under which a line brings the span it belongs to, if that is not the current one."""
SPAN_FIELDS = ("trace_id", "span_id", "parent_span_id")
"""What a line says of its span, in the order in which a span holds it."""
_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
_ALIASES = {"warn": "warning", "exception": "error", "fatal": "critical"}
_ANSI_STYLE = re.compile(r"\x1b\[[0-9;]*m")
ExcInfo: TypeAlias = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


@dataclass(slots=True)
class Setup:
    """How lines look in this process.

    :param service: What ``service`` says outside a request.
    """

    format: str = "json"
    service: str = "python"


setup = Setup()
"""The set-up in force, which :mod:`flask_resilience.telemetry.logging` changes."""


def _add_core(logger: WrappedLogger, level: str, fields: EventDict) -> EventDict:
    """Put the fields every line has first; a field of the user's never takes their place."""
    origin = fields.pop("_origin") if isinstance(fields.get("_origin"), _Origin) else None
    request = current_request()
    serving = None if request is None else request.service
    if SPAN in fields and isinstance(fields[SPAN], Span):
        span: Span | None = fields.pop(SPAN)
    else:
        span = active_span() or (None if request is None else request.span)
    core: EventDict = {
        "timestamp": datetime.now(timezone.utc).isoformat(timespec="microseconds")[:-6] + "Z",
        "level": _ALIASES.get(level, level) if origin is None else origin.level,
        "event": fields.pop("event", ""),
        "logger": getattr(logger, "name", "root") if origin is None else origin.logger,
        "service": getattr(logger, "service", None) or serving or setup.service,
        "pid": os.getpid(),
    }
    if request is not None:
        core["request_id"] = request.request_id
        if fields.get("request_id") == request.request_id:  # bound for the user's own processors
            del fields["request_id"]
    if span is not None:
        core.update(zip(SPAN_FIELDS, span, strict=False))
    if not core.keys().isdisjoint(fields):
        fields = {f"user_{key}" if key in core else key: fields[key] for key in fields}
    line = {**core, **fields}
    if span is not None and span.parent_span_id is None:
        del line["parent_span_id"]
    return line


def _add_exception(logger: WrappedLogger, level: str, fields: EventDict) -> EventDict:
    """Turn ``exc_info`` into the exception's type, message and stack trace, without locals."""
    error = _exception(fields.pop("exc_info", None))
    if error is not None:
        fields["exception_type"] = type(error).__name__
        fields["exception_message"] = describe(error, str)
        fields["exception_stacktrace"] = describe(error, _stacktrace)
    return fields


def _stacktrace(error: object) -> str:
    return "".join(traceback.format_exception(cast("BaseException", error)))


def _redact(logger: WrappedLogger, level: str, fields: EventDict) -> EventDict:
    return {
        key: value if isinstance(value, _OURS) else _redact_field(value, key)
        for key, value in fields.items()
    }


def _redact_field(value: Any, name: str) -> Any:
    try:
        return redact(value, name)
    except Exception:  # a broken or changing object of the user's must not break the log
        return redact_text(describe(value))


def _render(logger: WrappedLogger, level: str, fields: EventDict) -> str:
    if setup.format != "console":
        return encode(dict(fields))
    if "exception_stacktrace" in fields:
        fields["exception"] = fields.pop("exception_stacktrace")
    for name in {"exception", "stack"} & fields.keys():  # which it writes as they are
        fields[name] = str(fields[name])
    return ConsoleRenderer(colors=_is_terminal())(logger, level, fields)


def _is_terminal() -> bool:
    try:
        return sys.stdout.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a stdlib record comes from."""

    logger: str
    level: str


_OURS = (_Origin, Span)


def adopt_record(logger: WrappedLogger, level: str, fields: EventDict) -> EventDict:
    """Take from a stdlib record its origin, and its message without Werkzeug's colours."""
    record: logging.LogRecord = fields["_record"]
    known = max((one for one in _LEVELS if one <= record.levelno), default=logging.DEBUG)
    fields["_origin"] = _Origin(record.name, logging.getLevelName(known).lower())
    fields["event"] = _ANSI_STYLE.sub("", str(fields["event"]))
    for left_by_another_handler in ("message", "asctime"):
        fields.pop(left_by_another_handler, None)
    return fields


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
