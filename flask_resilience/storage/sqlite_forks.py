"""While SQLite is at work in this process nobody forks, and while somebody forks it is not begun.

A forked process would take the locks of its parent for its own, and wait for ever for those that
another thread of the parent held inside of SQLite.
"""

from __future__ import annotations

import os
import time
import weakref
from typing import Protocol

PATIENCE = 0.2
"""Seconds that a fork waits for SQLite, and SQLite for a fork."""


class Connected(Protocol):
    """What holds connections that a fork must not find open."""

    def close(self) -> None:
        """Close those that nobody uses."""


_at_work: list[None] = []  # one for each operation; to add and to remove is atomic
_forks: list[None] = []  # one for each fork that is under way
_connected: weakref.WeakValueDictionary[int, Connected] = weakref.WeakValueDictionary()


def close_before_forks(owner: Connected) -> None:
    """Have *owner* close its connections before each fork; does not keep it alive."""
    _connected[id(owner)] = owner


class _AtWork:
    """Keeps forks away while a block runs, at less cost than a generator would."""

    def __enter__(self) -> None:
        """Wait for a fork that is under way.

        :raises TimeoutError: If it takes too long.
        """
        _at_work.append(None)
        if not _forks:
            return
        end = time.monotonic() + PATIENCE
        while _forks:
            _at_work.pop()
            if time.monotonic() >= end:
                raise TimeoutError("a fork of this process takes too long")
            time.sleep(0.001)
            _at_work.append(None)

    def __exit__(self, *exception: object) -> None:
        """Let forks come."""
        if _at_work:  # else a forked process has begun anew
            _at_work.pop()


AT_WORK = _AtWork()


def _before_fork() -> None:
    _forks.append(None)
    end = time.monotonic() + PATIENCE
    while _at_work and time.monotonic() < end:
        time.sleep(0.001)
    for reference in _connected.valuerefs():
        owner = reference()
        if owner is not None:
            owner.close()


def _after_fork() -> None:
    _forks.pop()


def _begin_anew() -> None:
    _forks.clear()
    _at_work.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_begin_anew
    )
