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

import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import FilteringBoundLogger

from ..events import Event
from ..rules import LOG_FORMAT, LOG_LEVEL, SERVICE_NAME, check
from .lines import level, line
from .processors import PROCESSORS, SPAN, adopt_record, setup

LEVELS = ("debug", "info", "warning", "error", "critical")


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
    setup.format = check("format", format, LOG_FORMAT)
    setup.service = check("service", service, SERVICE_NAME)
    least = logging.getLevelName(check("level", level, LOG_LEVEL))
    _detach_from_stdlib()
    if setup.format != "off":
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

    :param least: The least severe level written, as in ``INFO``.
    :param service: What ``service`` says on these lines.
    """

    def __init__(self, least: str, service: str) -> None:
        self._written = frozenset(LEVELS[LEVELS.index(least.lower()) :])
        self._output = StandardOutput("flask_resilience", service)

    def __call__(self, event: Event) -> None:
        """Write the line that tells of *event*."""
        if setup.format == "off" or level(event) not in self._written:
            return
        name, severity, fields = line(event)
        told: Any = {key: value for key, value in fields.items() if value is not None}
        told["event"] = name
        span = getattr(event, "span", None)
        if span is not None:
            told[SPAN] = span
        for process in PROCESSORS:
            told = process(self._output, severity, told)
        self._output.msg(told)


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
            foreign_pre_chain=[ExtraAdder(), adopt_record],
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
