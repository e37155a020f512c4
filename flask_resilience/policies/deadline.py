"""The total time of a call, shared by its attempts, waits, redirects and body."""

from __future__ import annotations

from dataclasses import dataclass

from ..clock import Clock


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment after which nothing more may be done.

    :param expires_at: The moment, in seconds of the clock's monotonic time.
    :param seconds: How long it lay ahead when it was set.
    """

    expires_at: float
    seconds: float
    clock: Clock

    @classmethod
    def after(cls, seconds: float, clock: Clock) -> Deadline:
        """Return the deadline that lies *seconds* ahead."""
        return cls(clock.monotonic() + seconds, seconds, clock)

    def left(self) -> float:
        """Return the seconds left, never below zero."""
        return max(0.0, self.expires_at - self.clock.monotonic())

    @property
    def over(self) -> bool:
        """Say whether no time is left that anything could be done in."""
        return self.left() < SHORTEST

    def within(self, seconds: float) -> Deadline:
        """Return this deadline, or the one *seconds* ahead if that is sooner."""
        return self if self.left() <= seconds else Deadline.after(seconds, self.clock)


SHORTEST = 0.001
"""Seconds below which a deadline counts as over: a socket's timeout is no finer."""
