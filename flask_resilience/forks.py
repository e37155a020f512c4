"""What must begin anew in a forked process: locks another thread held, and what was gathered."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
