"""Tell of rejected requests so that a flood of them costs few lines.

The first rejection of a key is told at once. The others within the limit's window are counted, and
the next line says how many they were: the line of the first rejection after the window, or else,
told with the last one that was counted, once the window is over and any request comes, or when the
process ends. So lines and what they have suppressed add up to all rejections.
"""

from __future__ import annotations

import atexit
import weakref
from contextvars import Context
from dataclasses import dataclass, replace
from math import inf
from threading import RLock

from ..clock import Clock
from ..events import LimitExceeded, OnEvent
from ..forks import begin_anew_when_forked

MOST_KEYS = 1000
OTHERS = None
"""Stands for all keys of a policy and route for which there is no room."""

LONGEST_OF_OTHERS = 60
"""Seconds after which those are told of again, whatever the window: they are several floods."""


@dataclass(slots=True)
class _Flood:
    """What was not told of one policy and key since its last line.

    :param quiet_until: When the next line may come.
    """

    quiet_until: float
    suppressed: int = 0
    last: LimitExceeded | None = None


class Suppression:
    """The rejections of one app.

    :param on_event: Told of :class:`~flask_resilience.events.LimitExceeded`.
    """

    def __init__(self, clock: Clock, on_event: OnEvent) -> None:
        self._clock, self._on_event = clock, on_event
        self.begin_anew()
        begin_anew_when_forked(self)
        _alive.add(self)

    def add(self, key: str, event: LimitExceeded) -> None:
        """Tell of a rejection, or count it."""
        now = self._clock.monotonic()
        with self._lock:
            told = self._told_or_counted(key, event, now)
        if told is not None:
            self._on_event(told)

    def tell_due(self) -> None:
        """Tell what was counted in windows that are over."""
        if self._due_at == inf:  # as it mostly is
            return
        now = self._clock.monotonic()
        if now >= self._due_at:
            self._tell(now)

    def tell_all(self) -> None:
        """Tell all that was counted."""
        self._tell(inf)

    def begin_anew(self) -> None:
        """Have counted nothing: what a parent counted is the parent's to tell."""
        self._lock = RLock()
        self._floods: dict[tuple[str, str | None], _Flood] = {}  # guarded by _lock
        self._due_at = inf  # guarded by _lock

    def _told_or_counted(self, key: str, event: LimitExceeded, now: float) -> LimitExceeded | None:
        place: tuple[str, str | None] = (event.policy, key)
        if place not in self._floods and len(self._floods) >= MOST_KEYS:
            place, event = (f"{event.policy} {event.route}", OTHERS), replace(event, key_hash=None)
        flood = self._floods.get(place)
        if flood is not None and now < flood.quiet_until:
            flood.suppressed += 1
            flood.last = event
            return None
        flooded = self._floods[place] = _Flood(now + _quiet(event))
        self._due_at = min(self._due_at, flooded.quiet_until)
        return event if flood is None else replace(event, suppressed=flood.suppressed)

    def _tell(self, now: float) -> None:
        """Tell what is due outside of the request that comes by, whose lines they are not."""
        with self._lock:
            due = [place for place, flood in self._floods.items() if flood.quiet_until <= now]
            counted = [self._end(place, now) for place in due]
            self._due_at = min((one.quiet_until for one in self._floods.values()), default=inf)
        for event in counted:
            if event is not None:
                Context().run(self._on_event, event)

    def _end(self, place: tuple[str, str | None], now: float) -> LimitExceeded | None:
        flood = self._floods.pop(place)
        if flood.last is None:
            return None
        self._floods[place] = _Flood(now + _quiet(flood.last))
        return replace(flood.last, suppressed=flood.suppressed - 1)


def _quiet(event: LimitExceeded) -> float:
    """Return how many seconds no other line follows the event's."""
    return min(event.window, LONGEST_OF_OTHERS) if event.key_hash is OTHERS else event.window


_alive: weakref.WeakSet[Suppression] = weakref.WeakSet()


@atexit.register
def _tell_the_rest() -> None:
    for rejections in list(_alive):
        rejections.tell_all()
