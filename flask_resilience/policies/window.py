"""What happened of late: attempts counted in ten buckets that time pushes out.

Source: resilience4j, "CircuitBreaker", time-based sliding window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import floor

BUCKETS = 10
CLOCK_SLACK = 1.0
"""Seconds by which processes may differ on the storage's time."""


def bucket_start(moment: float, length: float) -> float:
    """Return when the bucket began that *moment* falls into, of a window of *length* seconds."""
    tenth = length / BUCKETS
    return floor(moment / tenth) * tenth


@dataclass(frozen=True, slots=True)
class Bucket:
    """What was counted in one tenth of the window.

    :param start: When that tenth began, in the storage's time.
    :param slow: Those of the successes and failures that took too long.
    """

    start: float
    successes: int = 0
    failures: int = 0
    slow: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """The counts of the last buckets, oldest first; a bucket nothing fell into is left out."""

    buckets: tuple[Bucket, ...] = ()

    @property
    def failures(self) -> int:
        """Return how many attempts failed."""
        return sum(bucket.failures for bucket in self.buckets)

    @property
    def slow(self) -> int:
        """Return how many attempts took too long."""
        return sum(bucket.slow for bucket in self.buckets)

    @property
    def calls(self) -> int:
        """Return how many attempts there were."""
        return sum(bucket.successes + bucket.failures for bucket in self.buckets)

    @property
    def failure_rate(self) -> float:
        """Return the share of attempts that failed, from 0 to 1."""
        return self.failures / max(self.calls, 1)

    @property
    def slow_rate(self) -> float:
        """Return the share of attempts that took too long, from 0 to 1."""
        return self.slow / max(self.calls, 1)

    def recent(self, now: float, length: float) -> Window:
        """Return what is left at *now* of a window of *length* seconds.

        What is far ahead was left there by a clock that was set back since.
        """
        oldest = bucket_start(now, length) - (BUCKETS - 0.5) * length / BUCKETS
        return self.between(oldest, now + CLOCK_SLACK)

    def between(self, oldest: float, newest: float) -> Window:
        """Return what is left of the window without buckets that began earlier or later."""
        if all(oldest <= bucket.start <= newest for bucket in self.buckets):
            return self
        return Window(tuple(one for one in self.buckets if oldest <= one.start <= newest))

    def add(self, counted: Bucket) -> Window:
        """Return the window with *counted* in it."""
        buckets = {bucket.start: bucket for bucket in self.buckets}
        there = buckets.get(counted.start, Bucket(counted.start))
        buckets[counted.start] = replace(
            there,
            successes=there.successes + counted.successes,
            failures=there.failures + counted.failures,
            slow=there.slow + counted.slow,
        )
        return Window(tuple(buckets[start] for start in sorted(buckets)))
