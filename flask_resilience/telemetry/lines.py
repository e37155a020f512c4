"""What each event reads like in the log: its fixed name, its level and its fields.

Durations become milliseconds here, names those of OpenTelemetry with ``_`` for ``.``; a field
that has no value is left out.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any
from urllib.parse import urlsplit

from ..events import (
    AttemptFinished,
    CallFinished,
    CircuitChanged,
    Event,
    RequestFailed,
    RequestFinished,
    RetryScheduled,
    StorageDegraded,
    StorageRecovered,
)


@singledispatch
def line(event: Event) -> tuple[str, str, dict[str, Any]]:
    """Return the name, the level and the fields of the line that tells of *event*."""
    raise TypeError(f"{type(event).__name__} has no log line.")


@line.register
def _attempt(event: AttemptFinished) -> tuple[str, str, dict[str, Any]]:
    fields = {
        "call_id": event.call_id,
        "upstream": event.upstream,
        "attempt": event.attempt,
        "max_attempts": event.max_attempts,
        "http_request_method": event.method,
        "url_full": event.url,
        "server_address": urlsplit(event.url).hostname,
        "http_response_status_code": event.status,
        "error_type": event.error_type,
        "duration_ms": _ms(event.duration),
        "circuit_state": event.circuit_state,
    }
    return "http.client.attempt", "warning" if event.failed else "debug", fields


@line.register
def _retry(event: RetryScheduled) -> tuple[str, str, dict[str, Any]]:
    fields = {
        "call_id": event.call_id,
        "upstream": event.upstream,
        "attempt": event.attempt,
        "next_attempt": event.attempt + 1,
        "reason": event.reason,
        "wait_ms": _ms(event.wait),
        "retry_after_ms": _ms(event.retry_after),
        "deadline_left_ms": _ms(event.deadline_left),
    }
    return "http.client.retry", "info", fields


@line.register
def _call(event: CallFinished) -> tuple[str, str, dict[str, Any]]:
    fields = {
        "call_id": event.call_id,
        "upstream": event.upstream,
        "attempts": event.attempts,
        "outcome": event.outcome,
        "stop_reason": event.stop_reason,
        "duration_ms": _ms(event.duration),
        "wait_ms": _ms(event.waited),
    }
    level = "info" if event.outcome == "success" else "warning"
    return "http.client.finish", level, fields


@line.register
def _circuit(event: CircuitChanged) -> tuple[str, str, dict[str, Any]]:
    fields = {
        "upstream": event.upstream,
        "from_state": event.from_state,
        "to_state": event.to_state,
        "reason": event.reason,
        "calls": event.calls,
        "failures": event.failures,
        "failure_rate": round(event.failure_rate, 4),
        "slow_rate": round(event.slow_rate, 4),
        "open_for_ms": _ms(event.open_for),
        "storage": event.storage,
        "actor": event.actor,
    }
    opens = event.to_state in ("open", "forced_open")
    return "circuit_breaker.transition", "warning" if opens else "info", fields


@line.register
def _degraded(event: StorageDegraded) -> tuple[str, str, dict[str, Any]]:
    fields = {
        "storage": event.storage,
        "used_for": event.used_for,
        "error_type": event.error_type,
        "error_message": event.error_message,
        "mode": event.mode,
    }
    return "storage.degraded", "warning", fields


@line.register
def _recovered(event: StorageRecovered) -> tuple[str, str, dict[str, Any]]:
    fields = {
        "storage": event.storage,
        "used_for": event.used_for,
        "mode": event.mode,
        "down_ms": _ms(event.down_for),
    }
    return "storage.recovered", "info", fields


@line.register
def _request(event: RequestFinished) -> tuple[str, str, dict[str, Any]]:
    fields = {
        "http_request_method": event.method,
        "url_path": event.path,
        "http_route": event.route,
        "endpoint": event.endpoint,
        "http_response_status_code": event.status,
        "http_response_body_size": event.body_size,
        "duration_ms": _ms(event.duration),
        "ttfb_ms": _ms(event.time_to_first_byte),
        "client_address": event.client_address,
        "user_agent": event.user_agent,
        "outcome": event.outcome,
        "error_type": event.error_type,
    }
    level = "error" if event.status >= 500 else "info"
    return "http.server.request.finish", level, fields


@line.register
def _failure(event: RequestFailed) -> tuple[str, str, dict[str, Any]]:
    return "http.server.request.exception", "error", {"exc_info": event.error}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
