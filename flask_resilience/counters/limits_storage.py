"""The counters as a storage of the ``limits`` library, so that Flask-Limiter counts on them, too.

Counting never raises: while the storage is down, the process counts alone.
"""

from __future__ import annotations

import time

from limits.limits import GRANULARITIES
from limits.storage import MovingWindowSupport, SlidingWindowCounterSupport, Storage

from ..policies.quota import Claim, Quota, Standing, Strategy
from .counting import FALLBACK, Counting

SCHEME = "flask-resilience"
UNBOUNDED = 2**53
"""The amount of a quota that is only counted, where the library compares by itself."""


class CountersStorage(Storage, MovingWindowSupport, SlidingWindowCounterSupport):
    """A storage for all three strategies; its keys are those that the library's items make.

    :param uri: Only its scheme counts, by which the library finds this class.
    :param counting: Counts.
    """

    STORAGE_SCHEME = [SCHEME]  # noqa: RUF012  # the library's way

    def __init__(self, uri: str = f"{SCHEME}://", *, counting: Counting) -> None:
        super().__init__(uri)
        self._counting = counting

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        """Return what counting may raise, which is nothing."""
        return ()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count *amount* in a fixed window, and return what was counted in it."""
        standing = self._take(Strategy.FIXED_WINDOW, key, UNBOUNDED, expiry, amount)[1]
        return standing.used

    def get(self, key: str) -> int:
        """Return what was counted in the present fixed window."""
        return self._look(Strategy.FIXED_WINDOW, key, _window(key)).used

    def get_expiry(self, key: str) -> float:
        """Return when the present fixed window ends, in seconds since the epoch."""
        standing = self._look(Strategy.FIXED_WINDOW, key, _window(key))
        return time.time() + (standing.reset if standing.used else 0.0)

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count *amount* in a moving window if it has room."""
        return self._take(Strategy.MOVING_WINDOW, key, limit, expiry, amount)[0]

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return when the oldest of a moving window was counted, and how many it holds."""
        standing = self._look(Strategy.MOVING_WINDOW, key, expiry)
        return time.time() + standing.reset - expiry, standing.used

    def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Count *amount* in a sliding window if it has room by its estimate."""
        return self._take(Strategy.SLIDING_WINDOW_COUNTER, key, limit, expiry, amount)[0]

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return the estimate as what the present window holds, and when that ends.

        The share of the window before is within it already.
        """
        standing = self._look(Strategy.SLIDING_WINDOW_COUNTER, key, expiry)
        return 0, 0.0, standing.used, standing.reset

    def clear(self, key: str) -> None:
        """Forget what was counted for *key*.

        :raises StorageError: If the storage cannot be asked.
        """
        self._counting.clear(_own(key))

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget what was counted for *key*.

        :raises StorageError: If the storage cannot be asked.
        """
        self.clear(key)

    def reset(self) -> None:
        """Forget all counters of the app, those of ``@limit`` too.

        :raises StorageError: If the storage cannot be asked.
        """
        self._counting.reset()

    def check(self) -> bool:
        """Say that counting works, which it always does, if need be in this process alone."""
        return True

    def _take(
        self, strategy: Strategy, key: str, amount: int, window: int, cost: int
    ) -> tuple[bool, Standing]:
        claim = Claim(strategy, _own(key), (Quota(amount, window),), cost)
        decision = self._counting.take(claim, FALLBACK).decision
        return decision.granted, decision.standings[0]

    def _look(self, strategy: Strategy, key: str, window: int) -> Standing:
        """Return how things stand without the one that is looked for."""
        claim = Claim(strategy, _own(key), (Quota(UNBOUNDED, window),))
        standing = self._counting.look(claim).standings[0]
        return standing._replace(used=standing.used - claim.cost)


def _own(key: str) -> str:
    """Return *key* so that it is none of our own limits'."""
    return f"limiter/{key}"


def _window(key: str) -> int:
    """Return the seconds that the end of an item's key names, as ``…/5/2/minute``."""
    _, multiples, name = key.rsplit("/", 2)
    return GRANULARITIES[name].GRANULARITY.seconds * int(multiples)
