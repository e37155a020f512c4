"""What may be counted in a window, what a request claims of it, and how it stands: values."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

GRACE = 1e-6
"""Seconds by which what leaves a window does so early, so that whoever waits for just as long as he
was told is not a rounding too early."""


class Strategy(str, Enum):
    """How requests are counted within a window; the words are those of the ``limits`` library."""

    FIXED_WINDOW = "fixed-window"
    MOVING_WINDOW = "moving-window"
    SLIDING_WINDOW_COUNTER = "sliding-window-counter"


class Quota(NamedTuple):
    """So much in so long.

    :param amount: What may be taken within a window, at least 1.
    :param window: In whole seconds, at least 1.
    """

    amount: int
    window: int


class Claim(NamedTuple):
    """What one request takes of a counter: from each of its quotas, or from none.

    :param key: Who or what is counted.
    :param quotas: One for each length of window, the shortest first. A key always has the same.
    :param cost: What is taken, at least 1.
    """

    strategy: Strategy
    key: str
    quotas: tuple[Quota, ...]
    cost: int = 1

    @property
    def longest_window(self) -> int:
        """Return for how long a counter remembers, in seconds."""
        return self.quotas[-1].window


class Standing(NamedTuple):
    """How one quota stands after a claim was decided.

    :param used: What counts against it, with the claim if that was granted.
    :param reset: Seconds until its window turns; of a moving one, until its oldest unit leaves.
    :param wait: Seconds until the same claim can be granted if nothing else is; ``0.0`` if it can
        be now, infinite if it is for more than the quota.
    """

    used: int
    reset: float
    wait: float


class Decision(NamedTuple):
    """What became of a claim.

    :param granted: Whether every quota had room for it.
    :param standings: One for each quota.
    :param at: When it was decided, in the storage's time; names what was taken when it is given
        back.
    """

    granted: bool
    standings: tuple[Standing, ...]
    at: float

    @property
    def wait(self) -> float:
        """Return how many seconds it takes until every quota has room."""
        return max(one.wait for one in self.standings)

    @classmethod
    def on(cls, claim: Claim, standings: tuple[Standing, ...], now: float) -> Decision:
        """Return what becomes of *claim*, given how each quota stands before it."""
        for one in standings:
            if one.wait:
                return cls(False, standings, now)
        cost = claim.cost
        granted = [Standing(used + cost, reset, 0.0) for used, reset, _ in standings]
        return cls(True, tuple(granted), now)
