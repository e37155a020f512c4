"""What each event reads like in the log: its fixed name, its level and its fields.

Durations become milliseconds here, names those of OpenTelemetry with ``_`` for ``.``; a field
that has no value is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from ..call_counts import CallFigures
from ..events import (
    AttemptFinished,
    CallFinished,
    CircuitChanged,
    ConfigSuspicious,
    Event,
    LimitExceeded,
    RequestFailed,
    RequestFinished,
    RetryScheduled,
    StorageDegraded,
    StorageRecovered,
)

Fields: TypeAlias = dict[str, Any]


def _attempt(event: AttemptFinished) -> Fields:
    return {
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


def _retry(event: RetryScheduled) -> Fields:
    return {
        "call_id": event.call_id,
        "upstream": event.upstream,
        "attempt": event.attempt,
        "next_attempt": event.attempt + 1,
        "reason": event.reason,
        "wait_ms": _ms(event.wait),
        "retry_after_ms": _ms(event.retry_after),
        "deadline_left_ms": _ms(event.deadline_left),
        "budget_left": None if event.budget_left is None else round(event.budget_left, 1),
    }


def _call(event: CallFinished) -> Fields:
    return {
        "call_id": event.call_id,
        "upstream": event.upstream,
        "attempts": event.attempts,
        "outcome": event.outcome,
        "stop_reason": event.stop_reason,
        "duration_ms": _ms(event.duration),
        "wait_ms": _ms(event.waited),
        "fallback": event.fallback or None,
    }


def _circuit(event: CircuitChanged) -> Fields:
    return {
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


def _degraded(event: StorageDegraded) -> Fields:
    return {
        "storage": event.storage,
        "used_for": event.used_for,
        "error_type": event.error_type,
        "error_message": event.error_message,
        "mode": event.mode,
    }


def _recovered(event: StorageRecovered) -> Fields:
    return {
        "storage": event.storage,
        "used_for": event.used_for,
        "mode": event.mode,
        "down_ms": _ms(event.down_for),
    }


def _limit(event: LimitExceeded) -> Fields:
    return {
        "policy": event.policy,
        "limit": event.limit,
        "window_s": event.window,
        "retry_after_s": None if event.retry_after is None else round(event.retry_after, 3),
        "http_route": event.route,
        "strategy": event.strategy,
        "key_type": event.key_type,
        "key_hash": event.key_hash,
        "suppressed": event.suppressed,
    }


def _suspicious(event: ConfigSuspicious) -> Fields:
    return {"check": event.check, "hint": event.hint}


def _request(event: RequestFinished) -> Fields:
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
        **_calls(event.calls),
    }
    if not event.added:
        return fields
    added, taken = dict(event.added), {"event", *fields}
    return fields | {f"user_{key}" if key in taken else key: added[key] for key in added}


def _calls(figures: CallFigures) -> Fields:
    if not figures.calls:
        return WITHOUT_CALLS
    return {
        "outbound_calls": figures.calls,
        "outbound_attempts": figures.attempts,
        "outbound_retries": figures.retries,
        "outbound_failures": figures.failures,
        "outbound_ms": _ms(figures.seconds),
        "retry_wait_ms": _ms(figures.waited),
    }


def _failure(event: RequestFailed) -> Fields:
    return {"exc_info": event.error}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


WITHOUT_CALLS = dict.fromkeys(_calls(CallFigures(calls=1)))


class _Line(NamedTuple):
    """How the events of one class are told."""

    name: str
    level: Callable[[Any], str]
    fields: Callable[[Any], Fields]


def _always(level: str) -> Callable[[Any], str]:
    return lambda event: level


LINES: Mapping[type[Event], _Line] = MappingProxyType(
    {
        AttemptFinished: _Line(
            "http.client.attempt", lambda event: "warning" if event.failed else "debug", _attempt
        ),
        RetryScheduled: _Line("http.client.retry", _always("info"), _retry),
        CallFinished: _Line(
            "http.client.finish",
            lambda event: "info" if event.outcome == "success" else "warning",
            _call,
        ),
        CircuitChanged: _Line(
            "circuit_breaker.transition",
            lambda event: "warning" if event.to_state in ("open", "forced_open") else "info",
            _circuit,
        ),
        StorageDegraded: _Line("storage.degraded", _always("warning"), _degraded),
        StorageRecovered: _Line("storage.recovered", _always("info"), _recovered),
        LimitExceeded: _Line("rate_limit.exceeded", _always("warning"), _limit),
        ConfigSuspicious: _Line("config.suspicious", _always("warning"), _suspicious),
        RequestFinished: _Line(
            "http.server.request.finish",
            lambda event: "error" if event.status >= 500 else "info",
            _request,
        ),
        RequestFailed: _Line("http.server.request.exception", _always("error"), _failure),
    }
)


def line(event: Event) -> tuple[str, str, Fields]:
    """Return the name, the level and the fields of the line that tells of *event*."""
    told = LINES[type(event)]
    return told.name, told.level(event), told.fields(event)
