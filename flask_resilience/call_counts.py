"""What a request costs in calls to upstreams, counted while it is served."""

from __future__ import annotations

from threading import Lock
from typing import NamedTuple, Protocol


class CallFigures(NamedTuple):
    """How many calls there were and what they took.

    :param attempts: Exchanges, over all calls and redirects.
    :param retries: Attempts that were waited for.
    :param failures: Calls that came to no success.
    :param seconds: The time of all calls together; those of several threads add up.
    :param waited: The part of it spent in waits.
    """

    calls: int = 0
    attempts: int = 0
    retries: int = 0
    failures: int = 0
    seconds: float = 0.0
    waited: float = 0.0


class Counted(Protocol):
    """A call that is counted."""

    def figures(self) -> CallFigures:
        """Return its own figures as they are now."""


NO_CALLS = CallFigures()


class CallCounts:
    """The figures of one request's calls, from all threads that carry its context."""

    __slots__ = ("_ended", "_lock", "_under_way")

    def __init__(self) -> None:
        self._lock = Lock()
        self._under_way: dict[int, Counted] = {}
        self._ended = NO_CALLS  # written under _lock, with the end of what is under way

    def begin(self, call: Counted) -> None:
        """Count *call* from now on."""
        self._under_way[id(call)] = call

    def end(self, call: Counted) -> None:
        """Count *call* as it is now, and keep it no longer."""
        with self._lock:
            del self._under_way[id(call)]
            self._ended = _sum(self._ended, call.figures())

    def totals(self) -> CallFigures:
        """Return the figures of all calls, with those under way as they are now."""
        with self._lock:
            totals = self._ended
            for call in list(self._under_way.values()):  # another may begin meanwhile
                totals = _sum(totals, call.figures())
        return totals


def _sum(one: CallFigures, other: CallFigures) -> CallFigures:
    return CallFigures(
        one.calls + other.calls,
        one.attempts + other.attempts,
        one.retries + other.retries,
        one.failures + other.failures,
        one.seconds + other.seconds,
        one.waited + other.waited,
    )
