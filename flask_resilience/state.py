"""What one app owns, and how to find it while that app is serving."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app
from werkzeug.local import LocalProxy

from .circuits.breaker import CircuitBreaker
from .circuits.registry import BreakerRegistry
from .outbound.session import ResilientSession
from .rate_limits.limits import Limits
from .settings import Settings
from .telemetry.dispatch import Dispatcher

EXTENSION = "resilience"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that flask-resilience keeps for one app; two apps share none of it.

    :param breakers: Of all its upstreams.
    :param session: For calls to anywhere.
    :param clients: The configured sessions, by name.
    """

    settings: Settings
    on_event: Dispatcher
    breakers: BreakerRegistry
    limits: Limits
    session: ResilientSession
    clients: Mapping[str, ResilientSession]

    def breaker(self, name: str) -> CircuitBreaker:
        """Return the circuit breaker before upstream *name*; a client's has its own policy."""
        options = self.settings.clients.get(name, self.settings.call)
        return self.breakers.breaker(name, options.breaker, options.timeout)


def current_state() -> State:
    """Return the state of the app that is serving.

    :raises RuntimeError: Outside an app's context, or if the app was never initialised.
    """
    state = current_app.extensions.get(EXTENSION)
    if state is None:
        raise RuntimeError(
            f"The app {current_app.import_name!r} has no flask-resilience; "
            "call Resilience().init_app(app) when you create it."
        )
    return cast("State", state)


def of_current_app(name: str) -> Callable[[], CircuitBreaker]:
    """Return what finds the circuit breaker before *name* of whatever app is serving.

    That of the last app is remembered, which is the only one but in tests.
    """
    of_proxy = cast("LocalProxy[Flask]", current_app)._get_current_object  # noqa: SLF001  # documented
    last: tuple[Flask | None, CircuitBreaker | None] = (None, None)

    def find() -> CircuitBreaker:
        nonlocal last
        app = of_proxy()
        known, breaker = last
        if known is not app or breaker is None:
            breaker = current_state().breaker(name)
            last = (app, breaker)
        return breaker

    return find
