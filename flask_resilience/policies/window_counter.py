"""Fixed windows, and windows that slide by an estimate: two numbers, however many are counted.

A window begins with the first request, and the next one where it ends if it is used in time. What
slides counts of the window before the share that still lies within one window's length from now,
taking it that its requests were spread evenly.

Source: the sliding window counter of https://blog.cloudflare.com/counting-things-a-lot-of-different-things/
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from .quota import GRACE, Claim, Quota, Standing


class WindowCounter(NamedTuple):
    """What was counted in the window that began at *start*, and in the one before."""

    start: float
    previous: int = 0
    current: int = 0

    def at(self, now: float, window: int) -> WindowCounter:
        """Return the counter of the window that holds *now*.

        >>> WindowCounter(100.0, 7, 5).at(161.0, 60)
        WindowCounter(start=160.0, previous=5, current=0)
        """
        end = self.start + window  # as the wait is told: a rounded sum must not tell two ends
        if now < end:
            return self
        if now < end + window:
            return WindowCounter(end, self.current)
        return WindowCounter(now)

    def used(self, now: float, window: int, slides: bool) -> int:
        """Return what counts at *now*, which lies in the window.

        >>> WindowCounter(100.0, previous=4, current=1).used(114.0, 60, slides=True)
        4
        """
        if not slides or not self.previous:
            return self.current
        left = min(self.start + window - now, window) - GRACE
        return self.current + max(0, int(self.previous * left / window))

    def standing(self, quota: Quota, cost: int, now: float, slides: bool) -> Standing:
        """Return how the quota stands to a claim of *cost* at *now*, which lies in the window."""
        used = self.used(now, quota.window, slides)
        reset = self.start + quota.window - now
        if used + cost <= quota.amount:
            return Standing(used, reset, 0.0)
        return Standing(used, reset, self._wait(quota, cost, now, slides))

    def without(self, cost: int, at: float, window: int) -> WindowCounter:
        """Return the counter without what was taken *at* that time; nothing of it falls below 0."""
        start, previous, current = self
        if at >= start:
            return WindowCounter(start, previous, max(0, current - cost))
        if at >= start - window:
            return WindowCounter(start, max(0, previous - cost), current)
        return self

    def _wait(self, quota: Quota, cost: int, now: float, slides: bool) -> float:
        end = self.start + quota.window
        if cost > quota.amount:
            return math.inf
        if not slides:
            return end - now
        room = quota.amount - cost - self.current
        fading, begin = self.previous, self.start
        if room < 0:
            room, fading, begin = quota.amount - cost, self.current, end
        faded = 1 - (room + 1) / fading
        return begin + quota.window * faded - now


Counters: TypeAlias = tuple[WindowCounter, ...]
"""One for each quota of a claim."""


@dataclass(frozen=True, slots=True)
class CountedWindows:
    """The rule for both strategies of this kind.

    :param slides: Whether the window before counts for a share.
    """

    slides: bool

    def at(self, held: Counters | None, claim: Claim, now: float) -> Counters:
        """Return the counters of the windows that hold *now*; new ones if none are held."""
        if held is None:
            return (WindowCounter(now),) * len(claim.quotas)
        both = zip(held, claim.quotas, strict=True)
        return tuple([one.at(now, quota.window) for one, quota in both])

    def standings(self, counters: Counters, claim: Claim, now: float) -> tuple[Standing, ...]:
        """Return how each quota stands to *claim*."""
        cost, slides = claim.cost, self.slides
        both = zip(counters, claim.quotas, strict=True)
        return tuple([one.standing(quota, cost, now, slides) for one, quota in both])

    def taken(self, counters: Counters, claim: Claim, now: float) -> Counters:
        """Return the counters with *claim* granted."""
        cost = claim.cost
        return tuple([WindowCounter(one[0], one[1], one[2] + cost) for one in counters])

    def given_back(self, counters: Counters, claim: Claim, at: float) -> Counters:
        """Return the counters without *claim*, which was granted *at* that time."""
        both = zip(counters, claim.quotas, strict=True)
        return tuple([one.without(claim.cost, at, quota.window) for one, quota in both])
