"""Moving windows: each request is remembered until the window has passed over it."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from .quota import GRACE, Claim, Quota, Standing

Units: TypeAlias = list[float]
"""When each unit was taken, the oldest first; a claim that costs three takes three."""


class Held(NamedTuple):
    """What a window holds, as far as it matters to a claim.

    :param oldest: When the oldest of its units was taken.
    :param blocking: When that unit was taken with whose leaving there is room; any if there is.
    """

    used: int
    oldest: float
    blocking: float

    def standing(self, quota: Quota, cost: int, now: float) -> Standing:
        """Return how the quota stands to a claim of *cost* at *now*."""
        reset = self.oldest + quota.window - now if self.used else float(quota.window)
        if self.used + cost <= quota.amount:
            return Standing(self.used, reset, 0.0)
        if cost > quota.amount:
            return Standing(self.used, reset, math.inf)
        return Standing(self.used, reset, self.blocking + quota.window - now)


def moving_standing(taken: Sequence[float], quota: Quota, cost: int, now: float) -> Standing:
    """Return how the quota stands to a claim of *cost* at *now*.

    :param taken: When each unit was taken, the oldest first.

    >>> moving_standing([100.0, 101.0], Quota(2, 60), 1, now=120.0)
    Standing(used=2, reset=40.0, wait=40.0)
    """
    first = bisect_right(taken, now - quota.window + GRACE)
    used = len(taken) - first
    if not used:
        return Held(0, now, now).standing(quota, cost, now)
    surplus = min(max(1, used + cost - quota.amount), used)
    return Held(used, taken[first], taken[first + surplus - 1]).standing(quota, cost, now)


class MovingWindows:
    """The rule for moving windows; the units are changed where they are."""

    def at(self, held: Units | None, claim: Claim, now: float) -> Units:
        """Return the units that the longest window still holds."""
        units = [] if held is None else held
        del units[: bisect_right(units, now - claim.longest_window + GRACE)]
        return units

    def standings(self, units: Units, claim: Claim, now: float) -> tuple[Standing, ...]:
        """Return how each quota stands to *claim*."""
        return tuple(moving_standing(units, quota, claim.cost, now) for quota in claim.quotas)

    def taken(self, units: Units, claim: Claim, now: float) -> Units:
        """Return the units with *claim* granted."""
        place = bisect_right(units, now)  # not always the end: clocks differ by milliseconds
        units[place:place] = [now] * claim.cost
        return units

    def given_back(self, units: Units, claim: Claim, at: float) -> Units:
        """Return the units without *claim*, which was granted *at* that time."""
        first = bisect_left(units, at)
        del units[first : min(first + claim.cost, bisect_right(units, at))]
        return units
