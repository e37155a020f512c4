"""What a fork may not share: locks that another thread held, what was gathered, connections."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Forked(Protocol):
    """Something that a forked process cannot go on with as it is."""

    def begin_anew(self) -> None:
        """Be as new: in a forked process, no other thread is running yet."""


def begin_anew_when_forked(owner: Forked) -> None:
    """Have *owner* begin anew in each process forked from this one; does not keep it alive."""
    _owners.add(owner)


_owners: weakref.WeakSet[Forked] = weakref.WeakSet()


def _after_fork() -> None:
    for owner in list(_owners):
        owner.begin_anew()


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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
