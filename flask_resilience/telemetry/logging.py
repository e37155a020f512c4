"""Structured logs on standard output: set up once, for structlog and stdlib loggers alike.

Logging belongs to the process, not to an app: the latest set-up holds for everything in it. Only
the lines an app writes about its own requests and calls follow that app's own level. What a user
has configured stays: their structlog configuration, and any handler that already writes to the
console.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, cast
from weakref import WeakSet

import structlog
from structlog.typing import FilteringBoundLogger

from ..events import Event
from ..rules import LOG_FORMAT, LOG_LEVEL, LOG_PRESET, SERVICE_NAME, check
from .encoding import choose_encoder
from .lines import LINES
from .output import write_line
from .processors import PROCESSORS, UNNAMED, Origin, note_traceback, render_record, setup

LEVELS = ("debug", "info", "warning", "error", "critical")


def configure_logging(
    format: str = "json",  # noqa: A002  # the word for it
    level: str = "INFO",
    service: str = UNNAMED,
    preset: str = "structlog",
) -> None:
    """Write logs to standard output, one JSON object a line; called again, it replaces.

    :param format: ``json``, ``console`` for people, or ``off`` to leave all logging alone.
    :param level: The least severe level written.
    :param service: What ``service`` says on lines written outside a request.
    :param preset: Whose names the fields have: ``structlog``, ``otel``, ``ecs``, ``gcp`` or
        ``datadog``.
    :raises ConfigurationError: If a value is unknown.
    """
    setup.format = check("format", format, LOG_FORMAT)
    setup.service = check("service", service, SERVICE_NAME)
    setup.preset = check("preset", preset, LOG_PRESET)
    choose_encoder()
    least = logging.getLevelName(check("level", level, LOG_LEVEL))
    _detach_from_stdlib()
    for logger in list(_assembled):
        logger.forget()
    if setup.format != "off":
        _attach_to_structlog(least)
        _attach_to_stdlib(least)


def name_service(service: str) -> None:
    """Let *service* be what lines say until ``configure_logging`` says it."""
    if setup.service == UNNAMED:
        setup.service = service


def get_logger(name: str) -> FilteringBoundLogger:
    """Return a structlog logger; its lines carry the ID of the request they belong to.

    It follows each ``configure_logging``. After a ``structlog.configure`` of your own, that holds
    for loggers not used before.

    :param name: What ``logger`` says; by convention ``__name__``.
    """
    return cast("FilteringBoundLogger", _Logger(name))


class _Logger:
    """A structlog logger that is assembled once for each set-up, and not for each line."""

    def __init__(self, name: str) -> None:
        self._name, self._lazy = name, structlog.get_logger(name)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        found = getattr(self._lazy.bind(), attribute)
        if attribute in _METHODS and structlog.get_config()["processors"] is PROCESSORS:
            vars(self)[attribute] = found
            _assembled.add(self)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return get_logger, (self._name,)

    def forget(self) -> None:
        """Look at the set-up anew with the next line."""
        for method in _METHODS & vars(self).keys():
            vars(self).pop(method, None)


_METHODS = frozenset(
    {"debug", "info", "warning", "warn", "error", "critical", "fatal", "exception", "msg", "log"}
)
_assembled: WeakSet[_Logger] = WeakSet()


class StandardOutput:
    """The end of the chain: a finished line goes out in one write.

    :param name: What ``logger`` says.
    """

    def __init__(self, name: str = "root") -> None:
        self.name = name

    def msg(self, message: str) -> None:
        """Write one line; a full disk or a closed stream must not fail the request."""
        try:
            write_line(message)
        except (OSError, ValueError, AttributeError):  # the latter: there is no standard output
            return

    debug = info = warning = warn = error = critical = fatal = log = msg


class EventLog:
    """The sink that writes each event as a line, at its own app's level.

    :param least: The least severe level written, as in ``INFO``.
    :param service: What ``service`` says on these lines.
    """

    def __init__(self, least: str, service: str) -> None:
        self._written = frozenset(LEVELS[LEVELS.index(least.lower()) :])
        self._service, self._output = service, StandardOutput()

    def __call__(self, event: Event) -> None:
        """Write the line that tells of *event*."""
        line = LINES[type(event)]
        level = line.level(event)
        if setup.format == "off" or level not in self._written:
            return
        fields = line.fields(event)
        told: Any = {key: value for key, value in fields.items() if value is not None}
        told["event"] = line.name
        origin = Origin("flask_resilience", self._service, getattr(event, "span", None))
        for process in PROCESSORS:
            told = process(origin, level, told)
        self._output.msg(told)
        error = fields.get("exc_info")
        if error is not None:
            note_traceback(error)


class StdlibHandler(logging.Handler):
    """Writes the records of stdlib loggers in the same shape."""

    _output = StandardOutput()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            self._output.msg(render_record(record))
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
    handler = StdlibHandler()
    # Not by the handler's level: Flask and Werkzeug would take it for none and add their own.
    handler.addFilter(lambda record: record.levelno >= least)
    root.addHandler(handler)
    root.setLevel(min(root.level, least))


def _detach_from_stdlib() -> None:
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, StdlibHandler)]:
        root.removeHandler(handler)


def _writes_to_console(handler: logging.Handler) -> bool:
    consoles = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return isinstance(handler, logging.StreamHandler) and handler.stream in consoles
