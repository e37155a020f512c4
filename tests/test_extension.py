"""``Resilience`` and how an app is wired to it."""

from __future__ import annotations

import pytest
from flask import Flask

from flask_resilience import ConfigurationError, Resilience


def test_init_app_twice_raises():
    """One app is initialised once, by whichever object."""
    app = Flask("shop")
    Resilience(app)
    for again in (Resilience(), Resilience()):
        with pytest.raises(RuntimeError, match="'shop' already has flask-resilience"):
            again.init_app(app)


def test_app_without_the_extension_is_told_the_remedy():
    """Using the session of an app that was never initialised says what to call."""
    with Flask("shop").app_context(), pytest.raises(RuntimeError, match="init_app"):
        _ = Resilience().session


def test_outside_an_app_flask_says_so():
    """There is no session where there is no app."""
    with pytest.raises(RuntimeError, match="application context"):
        _ = Resilience().session


def test_unknown_client_is_named(make_app):
    """A client nobody configured raises with its name and those there are."""
    app = make_app(clients={"billing": {}})
    with app.app_context(), pytest.raises(ConfigurationError, match=r"'biling'.*\['billing'\]"):
        Resilience().client("biling")


def test_503_503_200_end_to_end(make_app, make_upstream, log_lines):
    """The user gets 200; the upstream saw one ID three times; two retry lines and one finish."""
    app, upstream = make_app(), make_upstream(503, 503, 200)
    resilience = Resilience()
    app.add_url_rule("/", "index", lambda: resilience.session.get(upstream.url).text)
    answer = app.test_client().get("/", headers={"X-Request-ID": "abc-1"})
    assert (answer.status_code, answer.text) == (200, "ok")
    assert [one.headers["x-request-id"] for one in upstream.requests] == ["abc-1"] * 3
    events = [line["event"] for line in log_lines() if line["request_id"] == "abc-1"]
    assert events == [
        "http.client.attempt",
        "http.client.retry",
        "http.client.attempt",
        "http.client.retry",
        "http.client.finish",
        "http.server.request.finish",
    ]


def test_own_request_id_of_a_call_is_kept(make_app, make_upstream):
    """A header the caller set itself goes out as it is."""
    app, upstream = make_app(), make_upstream(200)

    @app.get("/")
    def index():
        return Resilience().session.get(upstream.url, headers={"X-Request-ID": "mine"}).text

    app.test_client().get("/", headers={"X-Request-ID": "abc-1"})
    assert upstream.requests[0].headers["x-request-id"] == "mine"


def test_call_outside_a_request_sends_no_id(make_app, make_upstream):
    """Where no request is served there is no ID to send on."""
    app, upstream = make_app(), make_upstream(200)
    with app.app_context():
        Resilience().session.get(upstream.url)
    assert "x-request-id" not in upstream.requests[0].headers


def test_client_of_the_configuration_calls_its_upstream(make_app, make_upstream):
    """``client(name)`` has the base URL and the policies of RESILIENCE_CLIENTS."""
    upstream = make_upstream(503)
    app = make_app(clients={"billing": {"base_url": upstream.url, "retry": {"attempts": 2}}})
    with app.app_context():
        assert Resilience().client("billing").get("/invoices").status_code == 503
    assert [one.path for one in upstream.requests] == ["/invoices"] * 2
