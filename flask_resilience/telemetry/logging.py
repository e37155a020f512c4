"""Structured logs on standard output: set up once, for structlog and stdlib loggers alike.

Logging belongs to the process, not to an app: the latest set-up holds for everything in it. Only
the lines an app writes about its own requests and calls follow that app's own level. What a user
has configured stays: their structlog configuration, and any handler that already writes to the
console.
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

import structlog
from structlog.contextvars import merge_contextvars
from structlog.dev import ConsoleRenderer
from structlog.processors import StackInfoRenderer
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from ..context import current_request
from ..events import Event
from ..rules import LOG_FORMAT, LOG_LEVEL, SERVICE_NAME, check
from .encoding import describe, encode
from .lines import line
from .redaction import redact, redact_text

_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
_ALIASES = {"warn": "warning", "exception": "error", "fatal": "critical"}
_ANSI_STYLE = re.compile(r"\x1b\[[0-9;]*m")
ExcInfo: TypeAlias = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


@dataclass(slots=True)
class _Setup:
    """The set-up in force in this process."""

    format: str = "json"
    service: str = "python"


_setup = _Setup()


def configure_logging(
    format: str = "json",  # noqa: A002  # the word for it
    level: str = "INFO",
    service: str = "python",
) -> None:
    """Write logs to standard output, one JSON object a line; called again, it replaces.

    :param format: ``json``, ``console`` for people, or ``off`` to leave all logging alone.
    :param level: The least severe level written.
    :param service: What ``service`` says on lines written outside a request.
    :raises ConfigurationError: If a value is unknown.
    """
    _setup.format = check("format", format, LOG_FORMAT)
    _setup.service = check("service", service, SERVICE_NAME)
    least = logging.getLevelName(check("level", level, LOG_LEVEL))
    _detach_from_stdlib()
    if _setup.format != "off":
        _attach_to_structlog(least)
        _attach_to_stdlib(least)


def get_logger(name: str) -> FilteringBoundLogger:
    """Return a structlog logger; its lines carry the ID of the request they belong to.

    :param name: What ``logger`` says; by convention ``__name__``.
    """
    return cast("FilteringBoundLogger", structlog.get_logger(name))


class StandardOutput:
    """The end of the chain: a finished line goes out in one write.

    ``sys.stdout`` is looked up for each line, so that a redirection holds from then on.

    :param name: What ``logger`` says.
    :param service: What ``service`` says, if not the name of the app that serves the request.
    """

    def __init__(self, name: str = "root", service: str | None = None) -> None:
        self.name, self.service = name, service

    def msg(self, message: str) -> None:
        """Write one line; a full disk or a closed stream must not fail the request."""
        try:
            _write(message + "\n")
        except (OSError, ValueError, AttributeError):  # the latter: there is no standard output
            return

    debug = info = warning = warn = error = critical = fatal = log = msg


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError as error:
        sys.stdout.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
    sys.stdout.flush()


class EventLog:
    """The sink that writes each event as a line, at its own app's level.

    :param service: What ``service`` says on these lines.
    """

    def __init__(self, level: str, service: str) -> None:
        self._least: int = logging.getLevelName(level)
        self._output = StandardOutput("flask_resilience", service)

    def __call__(self, event: Event) -> None:
        """Write the line that tells of *event*."""
        name, level, fields = line(event)
        if _setup.format == "off" or logging.getLevelName(level.upper()) < self._least:
            return
        line_fields = {"event": name, **fields}
        told: Any = {key: value for key, value in line_fields.items() if value is not None}
        for process in PROCESSORS:
            told = process(self._output, level, told)
        self._output.msg(told)


def _add_core(logger: WrappedLogger, level: str, fields: EventDict) -> EventDict:
    """Put the fields every line has first; a field of the user's never takes their place."""
    origin = fields.pop("_origin") if isinstance(fields.get("_origin"), _Origin) else None
    request = current_request()
    serving = None if request is None else request.service
    core = {
        "timestamp": datetime.now(timezone.utc).isoformat(timespec="microseconds")[:-6] + "Z",
        "level": _ALIASES.get(level, level) if origin is None else origin.level,
        "event": fields.pop("event", ""),
        "logger": getattr(logger, "name", "root") if origin is None else origin.logger,
        "service": getattr(logger, "service", None) or serving or _setup.service,
        "pid": os.getpid(),
    }
    if request is not None:
        core["request_id"] = request.request_id
        fields.pop("request_id", None)
    return core | {f"user_{key}" if key in core else key: fields[key] for key in fields}


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
    return {key: _redact_field(value, key) for key, value in fields.items()}


def _redact_field(value: Any, name: str) -> Any:
    try:
        return redact(value, name)
    except Exception:  # a broken or changing object of the user's must not break the log
        return redact_text(describe(value))


def _render(logger: WrappedLogger, level: str, fields: EventDict) -> str:
    if _setup.format != "console":
        return encode(dict(fields))
    if "exception_stacktrace" in fields:
        fields["exception"] = fields.pop("exception_stacktrace")
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


def _adopt_record(logger: WrappedLogger, level: str, fields: EventDict) -> EventDict:
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
    _add_core,
    _add_exception,
    _redact,
    _render,
)


class _StdlibHandler(logging.Handler):
    """Writes the records of stdlib loggers in the same shape."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            StandardOutput().msg(self.format(record))
        except Exception:
            self.handleError(record)


def _attach_to_structlog(least: int) -> None:
    """Configure structlog, unless the user has."""
    if structlog.is_configured() and structlog.get_config()["processors"] is not PROCESSORS:
        return
    structlog.configure(
        processors=PROCESSORS,
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=StandardOutput,
        cache_logger_on_first_use=False,
    )


def _attach_to_stdlib(least: int) -> None:
    """Take the records of every stdlib logger, unless something already shows them."""
    root = logging.getLogger()
    if any(_writes_to_console(handler) for handler in root.handlers):
        return
    handler = _StdlibHandler()
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[ExtraAdder(), _adopt_record],
            processors=[ProcessorFormatter.remove_processors_meta, *PROCESSORS],
        )
    )
    # Not by the handler's level: Flask and Werkzeug would take it for none and add their own.
    handler.addFilter(lambda record: record.levelno >= least)
    root.addHandler(handler)
    root.setLevel(min(root.level, least))


def _detach_from_stdlib() -> None:
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _StdlibHandler)]:
        root.removeHandler(handler)


def _writes_to_console(handler: logging.Handler) -> bool:
    consoles = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return isinstance(handler, logging.StreamHandler) and handler.stream in consoles


def _exception(exc_info: ExcInfo | BaseException | bool | None) -> BaseException | None:
    """Return the exception in any of the forms that loggers take it in."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return next((one for one in exc_info if isinstance(one, BaseException)), None)
    return sys.exc_info()[1] if exc_info else None
