"""The circuit breakers of other packages, each before a function as its documentation has it.

Their thresholds are those they come with; once open they stay so for a day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from importlib import import_module

from .row import Repeat, UnavailableError, Variant, calling, timed

DAY = 86_400
MOST_FAILURES = 1_000
Guarded = Callable[[], object]


def nothing() -> None:
    """Do nothing, and so cost no more than any call."""


def fail() -> None:
    """Fail as an upstream does.

    :raises ConnectionError: Always.
    """
    raise ConnectionError


def circuitbreaker(function: Guarded) -> tuple[Guarded, type[Exception]]:
    """Return *function* guarded by circuitbreaker, and what it raises when open."""
    package = import_module("circuitbreaker")
    guard = package.CircuitBreaker(name="ledger", recovery_timeout=DAY)
    return guard(function), package.CircuitBreakerError


def pybreaker(function: Guarded) -> tuple[Guarded, type[Exception]]:
    """Return *function* guarded by pybreaker, and what it raises when open."""
    package = import_module("pybreaker")
    guard = package.CircuitBreaker(reset_timeout=DAY)
    return guard(function), package.CircuitBreakerError


def purgatory(function: Guarded) -> tuple[Guarded, type[Exception]]:
    """Return *function* guarded by purgatory, and what it raises when open."""
    package, model = import_module("purgatory"), import_module("purgatory.domain.model")
    breaker = package.SyncCircuitBreakerFactory(default_ttl=DAY).get_breaker("ledger")

    def guarded() -> object:
        with breaker:
            return function()

    return guarded, model.OpenedState


def interlock(function: Guarded) -> tuple[Guarded, type[Exception]]:
    """Return *function* guarded by interlock-cb, and what it raises when open."""
    package = import_module("interlock")
    config = package.Config(wait_duration_in_open=float(DAY))
    guard = package.CircuitBreaker(name="ledger", config=config)
    return guard(function), package.CircuitOpenError


Guard = Callable[[Guarded], tuple[Guarded, type[Exception]]]
PEERS: dict[str, Guard] = {
    "circuitbreaker": circuitbreaker,
    "pybreaker": pybreaker,
    "purgatory": purgatory,
    "interlock-cb": interlock,
}


def closed(guard: Guard, function: Guarded = nothing) -> Guarded:
    """Return *function* behind a closed circuit."""
    return guard(function)[0]


def opened(guard: Guard) -> tuple[Guarded, type[Exception]]:
    """Return a function behind an open circuit, and what it raises.

    :raises UnavailableError: If the circuit does not open.
    """
    guarded, rejection = guard(fail)
    for _ in range(MOST_FAILURES):
        try:
            guarded()
        except rejection:
            return guarded, rejection
        except ConnectionError:
            continue
    raise UnavailableError("its circuit did not open")


def rejected(guarded: Guarded, rejection: type[Exception]) -> Repeat:
    """Return what times calls that are rejected, with the rejection caught."""

    def loop(laps: Iterable[None]) -> None:
        for _ in laps:
            try:
                guarded()
            except rejection:
                continue

    return timed(loop)


def closed_peers() -> tuple[Variant, ...]:
    """Return a variant for each peer that calls a no-op behind a closed circuit."""

    def variant(name: str, guard: Guard) -> Variant:
        def prepare(_: ExitStack) -> Repeat:
            return calling(closed(guard))

        return Variant(name, prepare)

    return tuple(variant(*one) for one in PEERS.items())


def opened_peers() -> tuple[Variant, ...]:
    """Return a variant for each peer whose open circuit rejects every call."""

    def variant(name: str, guard: Guard) -> Variant:
        def prepare(_: ExitStack) -> Repeat:
            return rejected(*opened(guard))

        return Variant(name, prepare)

    return tuple(variant(*one) for one in PEERS.items())
