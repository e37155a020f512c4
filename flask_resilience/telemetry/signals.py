"""Blinker signals: one for each kind of event, sent by the app it happened in.

::

    from flask_resilience.telemetry.signals import circuit_changed

    @circuit_changed.connect_via(app)
    def page_somebody(app, event):
        if event.to_state == "open":
            ...

A receiver is called where the event happened, with no lock held; what it raises is logged and
changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from blinker import NamedSignal, Namespace
from flask import Flask

from ..events import (
    AttemptFinished,
    CallFinished,
    CircuitChanged,
    ConfigSuspicious,
    Event,
    LimitExceeded,
    RetryScheduled,
    StorageDegraded,
    StorageRecovered,
    tell,
)

_signals = Namespace()

attempt_finished = _signals.signal("resilience-attempt-finished")
retry_scheduled = _signals.signal("resilience-retry-scheduled")
call_finished = _signals.signal("resilience-call-finished")
circuit_changed = _signals.signal("resilience-circuit-changed")
storage_degraded = _signals.signal("resilience-storage-degraded")
storage_recovered = _signals.signal("resilience-storage-recovered")
limit_exceeded = _signals.signal("resilience-limit-exceeded")
config_suspicious = _signals.signal("resilience-config-suspicious")

SIGNALS: dict[type[Event], NamedSignal] = {
    AttemptFinished: attempt_finished,
    RetryScheduled: retry_scheduled,
    CallFinished: call_finished,
    CircuitChanged: circuit_changed,
    StorageDegraded: storage_degraded,
    StorageRecovered: storage_recovered,
    LimitExceeded: limit_exceeded,
    ConfigSuspicious: config_suspicious,
}


class Signals:
    """The sink that sends each event to who listens for it.

    :param app: The sender.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app

    def __call__(self, event: Event) -> None:
        """Send *event*, if there is a signal for it and a receiver."""
        signal = SIGNALS.get(type(event))
        if signal is None or not signal.receivers:
            return
        for receiver in signal.receivers_for(self._app):
            tell(partial(_send, receiver, self._app), event)


def _send(receiver: Callable[..., object], app: Flask, event: Event) -> None:
    receiver(app, event=event)
