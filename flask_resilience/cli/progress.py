"""How far a long scan is, on standard error while that is a terminal."""

from __future__ import annotations

import sys
import time

SILENT = 1.0
"""Seconds for which nothing is told: most scans are over by then."""
INTERVAL = 0.2


class Progress:
    """A percentage that is written over itself.

    :param is_shown: Whether anybody can see it.
    """

    def __init__(self, *, is_shown: bool | None = None) -> None:
        self.total = self._read = 0
        self._is_shown = sys.stderr.isatty() if is_shown is None else is_shown
        self._next = time.monotonic() + SILENT
        self._is_dirty = False

    def read(self, size: int) -> None:
        """Note that so many more bytes were read."""
        self._read += size
        if not self._is_shown or self.total <= 0 or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + INTERVAL
        self._is_dirty = True
        sys.stderr.write(f"\r{min(100, 100 * self._read // self.total):3d} % read")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take it away."""
        if self._is_dirty:
            sys.stderr.write("\r          \r")
            sys.stderr.flush()
            self._is_dirty = False
