"""The retries of other packages, each around a function as its documentation has it."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module

import tenacity

from .peers import Guarded

ATTEMPTS = 4


def by_hand(function: Guarded) -> Guarded:
    """Return *function* in a loop that catches what it raises."""

    def retried() -> object:
        for wait in range(1, ATTEMPTS):
            try:
                return function()
            except ConnectionError:
                time.sleep(wait)
        return function()

    return retried


def by_backoff(function: Guarded) -> Guarded:
    """Return *function* retried by backoff."""
    package = import_module("backoff")
    retried: Guarded = package.on_exception(package.expo, ConnectionError, max_tries=ATTEMPTS)(
        function
    )
    return retried


def by_stamina(function: Guarded) -> Guarded:
    """Return *function* retried by stamina."""
    package = import_module("stamina")
    retried: Guarded = package.retry(on=ConnectionError, attempts=ATTEMPTS)(function)
    return retried


def by_tenacity(function: Guarded) -> Guarded:
    """Return *function* retried by tenacity."""
    return tenacity.retry(
        retry=tenacity.retry_if_exception_type(ConnectionError),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_exponential_jitter(initial=1, max=8),
        reraise=True,
    )(function)


RETRIES: dict[str, Callable[[Guarded], Guarded]] = {
    "try/except": by_hand,
    "backoff": by_backoff,
    "stamina": by_stamina,
    "tenacity": by_tenacity,
}
