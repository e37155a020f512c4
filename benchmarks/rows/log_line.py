"""One line of JSON with eight fields, written to the null device, while a request is served.

With eight fields of a user's, of a stdlib logger, and of an event of ours; the peers write the same
eight fields. What is left out by its level is a row of its own.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout
from contextvars import Context, copy_context
from datetime import datetime, timezone
from importlib import import_module
from io import FileIO
from typing import Any

import structlog

from flask_resilience import configure_logging, get_logger
from flask_resilience.context import RequestContext, bind_request
from flask_resilience.events import CallFinished
from flask_resilience.telemetry.logging import EventLog

from ..row import CPU_MICROSECONDS, Budget, Prepare, Repeat, Row, Variant, calling
from ..surroundings import null_device

FIELDS: dict[str, Any] = {
    "order": 7,
    "customer": "c-4711",
    "amount": 12.5,
    "currency": "EUR",
    "items": 3,
    "paid": True,
    "method": "card",
    "shop": "berlin mitte",
}
CALL = CallFinished(
    call_id="0af7651916cd43dd",
    upstream="http://127.0.0.1:8000",
    attempts=1,
    outcome="success",
    duration=0.3,
    waited=0.0,
)
BY_HAND = "orjson and write, by hand"
BY_STRUCTLOG = "structlog, orjson to bytes"
FOREIGN = "ProcessorFormatter, stdlib"
OURS, OURS_FOREIGN, OURS_FINISH = "ours, 8 fields", "ours, stdlib", "ours, finish line"
FILTERED, FILTERED_NATIVE = "ours, debug at INFO", "structlog, bound, debug at INFO"
FILTERED_BY_LEVEL = "structlog, filter_by_level"


def log_line() -> Row:
    """Return the row of lines that are written."""
    return Row(
        title="a line of JSON",
        unit=CPU_MICROSECONDS,
        reference=BY_STRUCTLOG,
        variants=(
            Variant(BY_HAND, _by_hand),
            Variant(BY_STRUCTLOG, _by_structlog),
            Variant(FOREIGN, _by_processor_formatter),
            Variant(OURS, _ours(lambda: _logging(get_logger("shop")))),
            Variant(OURS_FOREIGN, _ours(lambda: _foreign(logging.getLogger("shop")))),
            Variant(OURS_FINISH, _ours(lambda: _finishing(EventLog("INFO", "shop")))),
        ),
        budgets=(Budget(OURS, 8.0), Budget(OURS_FOREIGN, 11.0), Budget(OURS_FINISH, 4.0)),
    )


def log_filtered() -> Row:
    """Return the row of lines that are not."""
    return Row(
        title="a line whose level is left out",
        unit=CPU_MICROSECONDS,
        reference=FILTERED_NATIVE,
        variants=(
            Variant(FILTERED_NATIVE, _filtered_natively),
            Variant(FILTERED_BY_LEVEL, _filtered_by_level),
            Variant(FILTERED, _ours(lambda: _debugging(get_logger("shop")))),
        ),
        budgets=(Budget(FILTERED, 0.15),),
    )


def _logging(logger: Any) -> Callable[[], object]:
    return lambda: logger.info("paid", **FIELDS)


def _debugging(logger: Any) -> Callable[[], object]:
    return lambda: logger.debug("paid")


def _foreign(logger: logging.Logger) -> Callable[[], object]:
    return lambda: logger.info("order %d is paid", 7)


def _finishing(log: EventLog) -> Callable[[], object]:
    return lambda: log(CALL)


def _ours(make: Callable[[], Callable[[], object]]) -> Prepare:
    def prepare(stack: ExitStack) -> Repeat:
        configure_logging(service="shop")
        stack.callback(configure_logging, "off")
        context, log = copy_context(), make()
        context.run(bind_request, RequestContext("0af7651916cd43dd8448eb211c80319c", "shop"))
        return _silently(stack, context, calling(log))

    return prepare


def _silently(stack: ExitStack, context: Context, repeat: Repeat) -> Repeat:
    null = stack.enter_context(null_device())

    def silent(times: int) -> float:
        with redirect_stdout(null):
            return context.run(repeat, times)

    return silent


def _raw_null_device() -> FileIO:
    return FileIO(os.devnull, "w")


def _by_hand(stack: ExitStack) -> Repeat:
    dumps = import_module("orjson").dumps
    null = stack.enter_context(_raw_null_device())

    def log() -> None:
        now = datetime.now(timezone.utc).isoformat()
        null.write(dumps({"timestamp": now, "event": "paid", **FIELDS}) + b"\n")

    return calling(log)


def _by_structlog(stack: ExitStack) -> Repeat:
    null = stack.enter_context(_raw_null_device())
    logger = structlog.wrap_logger(
        structlog.BytesLogger(null),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=import_module("orjson").dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    ).bind()
    return calling(_logging(logger))


def _by_processor_formatter(stack: ExitStack) -> Repeat:
    null = stack.enter_context(null_device())
    handler = logging.StreamHandler(null)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.add_log_level,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=json.dumps),
            ],
        )
    )
    logger = logging.Logger("peer", logging.INFO)
    logger.addHandler(handler)
    return calling(_foreign(logger))


def _filtered_natively(_: ExitStack) -> Repeat:
    logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stdout),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    ).bind()
    return calling(_debugging(logger))


def _filtered_by_level(_: ExitStack) -> Repeat:
    logger = structlog.wrap_logger(
        logging.Logger("peer", logging.INFO),
        processors=[structlog.stdlib.filter_by_level],
        wrapper_class=structlog.stdlib.BoundLogger,
    ).bind()
    return calling(_debugging(logger))
