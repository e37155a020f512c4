"""Where the package takes the time from, so that tests can bring their own."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Time as the package sees it; all values are float seconds."""

    def wall(self) -> float:
        """Return seconds since the epoch; may jump when the host's clock is set."""

    def monotonic(self) -> float:
        """Return seconds since some fixed moment; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Pause the calling thread; an exception raised into it ends the pause at once."""


class SystemClock:
    """The clock of the host."""

    def wall(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    monotonic = staticmethod(time.monotonic)  # asked for around every call: no frame of ours

    def sleep(self, seconds: float) -> None:
        """Pause the calling thread for *seconds*."""
        time.sleep(seconds)


SYSTEM_CLOCK = SystemClock()
