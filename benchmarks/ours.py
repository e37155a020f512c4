"""Breakers and apps of flask-resilience, made as an app makes them."""

from __future__ import annotations

from flask import Flask

from flask_resilience import Resilience
from flask_resilience.circuits.breaker import CircuitBreaker
from flask_resilience.circuits.circuit_storage import CircuitStorage
from flask_resilience.circuits.guarded_code import Breaker
from flask_resilience.clock import SYSTEM_CLOCK
from flask_resilience.errors import CircuitOpenError, ConfigurationError
from flask_resilience.policies.circuit_breaker import CircuitBreakerPolicy
from flask_resilience.storage.memory import MemoryStorage
from flask_resilience.storage.url import guarded_storage, open_storage

from .peers import DAY, Guarded
from .row import Repeat, UnavailableError

STAYS_OPEN = CircuitBreakerPolicy(recovery_timeout=float(DAY))


def make_breaker(
    storage: CircuitStorage | None = None, policy: CircuitBreakerPolicy | None = None
) -> Breaker:
    """Return a breaker on *storage*, or in memory, with the default policy or another."""
    guarded = guarded_storage(storage or MemoryStorage(), SYSTEM_CLOCK, _ignore)
    policy = policy or CircuitBreakerPolicy()
    circuit_breaker = CircuitBreaker("ledger", policy, guarded, SYSTEM_CLOCK, _ignore)
    return Breaker(lambda: circuit_breaker)


def make_storage(url: str) -> CircuitStorage:
    """Return the storage that *url* names.

    :raises UnavailableError: If a package is missing for it.
    """
    try:
        return open_storage(url, namespace="benchmarks")
    except ConfigurationError as error:
        raise UnavailableError(str(error)) from error


def make_app(
    log_format: str = "off", rate_limit: str = "", storage_url: str = "memory://"
) -> tuple[Flask, Resilience]:
    """Return an app with no limit by default, whose circuits are in memory.

    :param log_format: Of the lines of the whole process; none by default.
    :param rate_limit: For each client over all routes together.
    :raises UnavailableError: If a package is missing for the storage.
    """
    app = Flask("benchmarks")
    try:
        resilience = Resilience(
            app, rate_limit=rate_limit, storage_url=storage_url, log_format=log_format
        )
    except ConfigurationError as error:
        if not isinstance(error.__cause__, ModuleNotFoundError):
            raise
        raise UnavailableError(str(error)) from error
    return app, resilience


def within(app: Flask, repeat: Repeat) -> Repeat:
    """Return *repeat* in a context of *app*, which is not what is timed."""

    def in_context(times: int) -> float:
        with app.app_context():
            return repeat(times)

    return in_context


def guard(function: Guarded) -> tuple[Guarded, type[Exception]]:
    """Return *function* guarded by a breaker in memory, and what it raises when open."""
    return make_breaker(policy=STAYS_OPEN)(function), CircuitOpenError


def _ignore(event: object) -> None:
    """Hear of *event*, and do nothing about it."""
