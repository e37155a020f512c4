"""A count that many threads add to without a lock."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count


class Counter:
    """Count by calling :attr:`add`; take what was counted, once.

    ``next()`` of :func:`itertools.count` is one step of the interpreter, so no addition is lost.
    :meth:`take` adds, too, and subtracts that again; callers see to it that one takes at a time.
    """

    __slots__ = ("_taken", "_takes", "add")

    def __init__(self) -> None:
        self.add: Callable[[], int] = count().__next__
        self._takes = 0
        self._taken = 0

    def take(self) -> int:
        """Return what was counted since this was last called."""
        counted = self.add() - self._takes
        self._takes += 1
        new, self._taken = counted - self._taken, counted
        return new
