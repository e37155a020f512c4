"""Signals: each event goes to who listens for it, sent by its app."""

from __future__ import annotations

import typing

import pytest

from flask_resilience import Resilience, events
from flask_resilience.telemetry import signals


@pytest.fixture
def resilience(make_app):
    """Return the extension of an app whose context is pushed."""
    app = make_app()
    with app.app_context():
        yield Resilience(), app


def open_circuit(resilience):
    """Bring about one transition."""
    resilience.breaker("ledger").open(actor="ana")


def test_receiver_hears_of_its_app(resilience):
    """A receiver is given the app and the event."""
    extension, app = resilience
    heard = []

    def receive(sender, event):
        heard.append((sender, event.to_state, event.actor))

    with signals.circuit_changed.connected_to(receive, sender=app):
        open_circuit(extension)
    assert heard == [(app, "forced_open", "ana")]


def test_receiver_of_another_app_hears_nothing(resilience, make_app):
    """Who listens to one app is not told of another's."""
    extension, _ = resilience
    heard = []

    def receive(sender, event):
        heard.append(event)

    with signals.circuit_changed.connected_to(receive, sender=make_app("other")):
        open_circuit(extension)
    assert heard == []


def test_receiver_that_raises_changes_nothing(resilience, log_lines):
    """The next receiver hears all the same, the call goes on, and the log tells of it."""
    extension, app = resilience
    heard = []

    def fail(sender, event):
        raise ValueError("broken receiver")

    def receive(sender, event):
        heard.append(event)

    with (
        signals.circuit_changed.connected_to(fail, sender=app),
        signals.circuit_changed.connected_to(receive, sender=app),
    ):
        open_circuit(extension)
    assert len(heard) == 1
    assert any("broken receiver" in str(line) for line in log_lines())


def test_event_without_a_signal_is_passed_over(resilience, log_lines):
    """A request that is served sends no signal of ours, and nothing goes wrong."""
    _, app = resilience
    app.test_client().get("/")
    assert [line["event"] for line in log_lines()] == ["http.server.request.finish"]


def test_every_outbound_event_has_a_signal():
    """Only the events of inbound requests have none, for Flask has its own."""
    without = set(typing.get_args(events.Event)) - set(signals.SIGNALS)
    assert without == {events.RequestFinished, events.RequestFailed}
