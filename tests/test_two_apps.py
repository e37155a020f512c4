"""Two apps in one process share nothing."""

from __future__ import annotations

import time

import pytest
from flask import Flask

from flask_resilience import CircuitOpenError, Resilience


@pytest.fixture(autouse=True)
def _one_moment(monkeypatch):
    """Hold the time within one window: the counter is an estimate where two of them meet."""
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)


@pytest.fixture
def apps(make_upstream):
    """Return two apps of one extension, each with a limit of 3 and a way out."""
    resilience, made = Resilience(), []
    for name in ("one", "two"):
        app = Flask(name)
        app.config.update(
            RESILIENCE_RATE_LIMIT="3 per minute",
            RESILIENCE_BREAKER_FAILURE_THRESHOLD=1,
            RESILIENCE_CLIENTS={"billing": {"base_url": f"http://{name}.invalid"}},
        )
        resilience.init_app(app)
        app.add_url_rule("/", "index", lambda: "")
        made.append(app)
    return resilience, *made


def test_limits_are_apart(apps):
    """What one app's clients used up, the other's still have."""
    _, one, two = apps
    assert [one.test_client().get("/").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert two.test_client().get("/").status_code == 200


def test_circuits_are_apart(apps, make_upstream):
    """A circuit that opens in one app is closed in the other."""
    resilience, one, two = apps
    upstream = make_upstream(500)
    with one.app_context():
        resilience.session.get(upstream.url, retries=0)
        with pytest.raises(CircuitOpenError):
            resilience.session.get(upstream.url)
    with two.app_context():
        assert resilience.session.get(upstream.url, retries=0).status_code == 500


def test_sessions_clients_and_limiters_are_apart(apps):
    """Each app has its own session, clients and limiter."""
    resilience, one, two = apps
    owned = []
    for app in (one, two):
        with app.app_context():
            owned.append((resilience.session, resilience.client("billing"), resilience.limiter))
    assert all(first is not second for first, second in zip(*owned, strict=True))


def test_service_is_the_serving_apps(apps, log_lines):
    """Each app's lines carry its own name."""
    _, one, two = apps
    one.test_client().get("/")
    two.test_client().get("/")
    assert [line["service"] for line in log_lines("http.server.request.finish")] == ["one", "two"]
