"""Every event has its documented name, level and fields."""

from __future__ import annotations

import typing
from dataclasses import replace

import pytest

from flask_resilience import events
from flask_resilience.telemetry.lines import LINES, line

ATTEMPT = events.AttemptFinished(
    call_id="c1",
    upstream="billing",
    attempt=1,
    max_attempts=4,
    method="GET",
    url="https://billing.example/v1",
    duration=0.25,
    failed=False,
    circuit_state="closed",
    status=200,
)
RETRY = events.RetryScheduled(
    call_id="c1", upstream="billing", attempt=1, reason="503", wait=1.5, deadline_left=20.0
)
CALL = events.CallFinished(
    call_id="c1", upstream="billing", attempts=1, outcome="success", duration=0.3, waited=0.0
)
CIRCUIT = events.CircuitChanged(
    upstream="billing",
    from_state="closed",
    to_state="open",
    reason="503",
    failures=5,
    storage="memory",
    open_for=60.0,
)
REQUEST = events.RequestFinished(
    method="GET",
    path="/",
    status=200,
    body_size=2,
    duration=0.01,
    time_to_first_byte=0.01,
    outcome="ok",
)
DEGRADED = events.StorageDegraded(
    storage="redis://host:6379/0", used_for="circuits", error_type="TimeoutError"
)
RECOVERED = events.StorageRecovered(
    storage="redis://host:6379/0", used_for="circuits", down_for=1.5
)
LIMIT = events.LimitExceeded(
    policy="app",
    limit="10 per 1 minute",
    window=60,
    strategy="sliding-window-counter",
    key_type="client_address",
    key_hash="0af7651916cd43dd",
    retry_after=12.3456,
    route="/products",
)
SUSPICIOUS = events.ConfigSuspicious(check="deadline_above_worker_timeout", hint="raise it.")
FAILURE = events.RequestFailed(error=ValueError())


def changed(event, **fields):
    """Return *event* with some fields changed."""
    return replace(event, **fields)


@pytest.mark.parametrize(
    ("event", "name", "level"),
    [
        pytest.param(ATTEMPT, "http.client.attempt", "debug", id="good attempt"),
        pytest.param(
            changed(ATTEMPT, failed=True), "http.client.attempt", "warning", id="failed attempt"
        ),
        pytest.param(RETRY, "http.client.retry", "info", id="retry"),
        pytest.param(CALL, "http.client.finish", "info", id="good call"),
        pytest.param(
            changed(CALL, outcome="exhausted"), "http.client.finish", "warning", id="failed call"
        ),
        pytest.param(CIRCUIT, "circuit_breaker.transition", "warning", id="circuit opens"),
        pytest.param(
            changed(CIRCUIT, to_state="closed"), "circuit_breaker.transition", "info", id="closes"
        ),
        pytest.param(
            changed(CIRCUIT, to_state="forced_open"),
            "circuit_breaker.transition",
            "warning",
            id="is opened",
        ),
        pytest.param(DEGRADED, "storage.degraded", "warning", id="storage down"),
        pytest.param(RECOVERED, "storage.recovered", "info", id="storage back"),
        pytest.param(LIMIT, "rate_limit.exceeded", "warning", id="rejection by a limit"),
        pytest.param(SUSPICIOUS, "config.suspicious", "warning", id="suspicious setting"),
        pytest.param(REQUEST, "http.server.request.finish", "info", id="request"),
        pytest.param(changed(REQUEST, status=503), "http.server.request.finish", "error", id="5xx"),
        pytest.param(FAILURE, "http.server.request.exception", "error", id="exception"),
    ],
)
def test_name_and_level(event, name, level):
    """Each event's line has one name, and the level its content deserves."""
    assert line(event)[:2] == (name, level)


def test_every_kind_of_event_has_a_line():
    """No event can be reported that the log cannot tell."""
    for kind in typing.get_args(events.Event):
        assert kind in LINES


def test_durations_are_milliseconds():
    """A duration of seconds is told in milliseconds, under a name that says so."""
    fields = line(changed(RETRY, retry_after=2.0))[2]
    assert (fields["wait_ms"], fields["retry_after_ms"], fields["deadline_left_ms"]) == (
        1500.0,
        2000.0,
        20000.0,
    )


def test_a_limits_window_and_wait_are_seconds():
    """They are told in the unit of the headers, under names that say so."""
    fields = line(LIMIT)[2]
    assert (fields["window_s"], fields["retry_after_s"]) == (60, 12.346)


def test_a_wait_without_end_is_not_told():
    """A request that costs more than its limit allows was told no time to come again."""
    assert line(changed(LIMIT, retry_after=None))[2]["retry_after_s"] is None


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        pytest.param(
            ATTEMPT,
            "call_id upstream attempt max_attempts http_request_method url_full server_address "
            "http_response_status_code error_type duration_ms circuit_state",
            id="attempt",
        ),
        pytest.param(
            RETRY,
            "call_id upstream attempt next_attempt reason wait_ms retry_after_ms deadline_left_ms "
            "budget_left",
            id="retry",
        ),
        pytest.param(
            CALL,
            "call_id upstream attempts outcome stop_reason duration_ms wait_ms fallback",
            id="call",
        ),
        pytest.param(
            CIRCUIT,
            "upstream from_state to_state reason calls failures failure_rate slow_rate open_for_ms "
            "storage actor",
            id="circuit",
        ),
        pytest.param(DEGRADED, "storage used_for error_type error_message mode", id="storage down"),
        pytest.param(RECOVERED, "storage used_for mode down_ms", id="storage back"),
        pytest.param(
            LIMIT,
            "policy limit window_s retry_after_s http_route strategy key_type key_hash suppressed",
            id="rejection by a limit",
        ),
        pytest.param(SUSPICIOUS, "check hint", id="suspicious setting"),
        pytest.param(
            REQUEST,
            "http_request_method url_path http_route endpoint http_response_status_code "
            "http_response_body_size duration_ms ttfb_ms client_address user_agent outcome "
            "error_type outbound_calls outbound_attempts outbound_retries outbound_failures "
            "outbound_ms retry_wait_ms",
            id="request",
        ),
    ],
)
def test_fields(event, fields):
    """Each line has the fields the log reference names."""
    assert list(line(event)[2]) == fields.split()
