"""What each process must have for itself, since a fork may not share it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """A value made at its first use in each process.

    What a forked process inherited stays referenced, so that nothing closes it, and is never used:
    it belongs to the parent.

    :param make: Makes the value; may be called twice if two threads are first at once, of which
        one value is dropped.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}

    @property
    def made(self) -> T | None:
        """Return this process's value if it was made."""
        return self._made.get(os.getpid())

    def get(self) -> T:
        """Return this process's value."""
        pid = os.getpid()
        try:
            return self._made[pid]
        except KeyError:
            return self._made.setdefault(pid, self._make())
