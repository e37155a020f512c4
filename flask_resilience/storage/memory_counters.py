"""Counters kept in the memory of this process: for tests, single processes, and outages."""

from __future__ import annotations

from threading import RLock
from typing import Any

from ..clock import SYSTEM_CLOCK, Clock
from ..forks import begin_anew_when_forked
from ..policies.moving_window import MovingWindows
from ..policies.quota import Claim, Decision, Strategy
from ..policies.window_counter import CountedWindows

RULES: dict[Strategy, Any] = {
    Strategy.FIXED_WINDOW: CountedWindows(slides=False),
    Strategy.SLIDING_WINDOW_COUNTER: CountedWindows(slides=True),
    Strategy.MOVING_WINDOW: MovingWindows(),
}


class MemoryCounters:
    """A shelf for each length of window, behind one lock.

    Its time is the wall clock's as it was at the beginning, and goes on steadily from there
    however that one is set later.
    """

    name = "memory"
    address = "memory://"
    shared = False

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._offset = clock.wall() - clock.monotonic()
        self.begin_anew()
        begin_anew_when_forked(self)

    def take(self, claim: Claim) -> Decision:
        """Grant *claim* if every quota has room for it, else take nothing; never raises."""
        rule = RULES[claim.strategy]
        with self._lock:
            shelf, now = self._shelf(claim)
            held = rule.at(shelf.get(claim.key), claim, now)
            decision = Decision.on(claim, rule.standings(held, claim, now), now)
            if decision.granted:
                shelf.put(claim.key, rule.taken(held, claim, now))
        return decision

    def look(self, claim: Claim) -> Decision:
        """Return what :meth:`take` would, and take nothing; never raises."""
        rule = RULES[claim.strategy]
        with self._lock:
            shelf, now = self._shelf(claim)
            held = rule.at(shelf.get(claim.key), claim, now)
            return Decision.on(claim, rule.standings(held, claim, now), now)

    def give_back(self, claim: Claim, at: float) -> None:
        """Take *claim* back, which was granted *at* that time; never raises."""
        with self._lock:
            shelf, _ = self._shelf(claim)
            held = shelf.get(claim.key)
            if held is not None:
                shelf.put(claim.key, RULES[claim.strategy].given_back(held, claim, at))

    def clear(self, key: str) -> None:
        """Forget what was counted for *key*; never raises."""
        with self._lock:
            for shelf in self._shelves.values():
                shelf.drop(key)

    def reset(self) -> None:
        """Forget all counters; never raises."""
        with self._lock:
            self._shelves.clear()

    def begin_anew(self) -> None:
        """Have a lock that nobody holds, and no counter: those of a parent are the parent's."""
        self._lock = RLock()  # a stream let go may end within a collection in here
        self._shelves: dict[tuple[bool, int], _Shelf] = {}  # guarded by _lock

    def __len__(self) -> int:
        return sum(len(shelf) for shelf in self._shelves.values())

    def _shelf(self, claim: Claim) -> tuple[_Shelf, float]:
        """Return where the claim's counter lies, and the time."""
        now = self._offset + self._clock.monotonic()
        window = claim.longest_window
        kind = (claim.strategy is Strategy.MOVING_WINDOW, window)
        shelf = self._shelves.get(kind)
        if shelf is None:
            shelf = self._shelves[kind] = _Shelf(2 * window, now)
        elif now >= shelf.turns_at:
            shelf.turn(now)
        return shelf, now


class _Shelf:
    """Two dictionaries, of which the older is dropped whole.

    What is put goes to the younger one. After each *span* the older one is dropped with all that
    nobody counted meanwhile, and the younger one becomes the older. So nothing is searched for what
    has expired, and a claim costs the same for any number of clients.

    :param span: For how long a counter is kept at least, in seconds; twice that at most.
    """

    def __init__(self, span: float, now: float) -> None:
        self._span, self.turns_at = span, now + span
        self._young: dict[str, Any] = {}
        self._old: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        held = self._young.get(key)
        return self._old.get(key) if held is None else held

    def put(self, key: str, held: Any) -> None:
        self._young[key] = held
        self._old.pop(key, None)

    def drop(self, key: str) -> None:
        self._young.pop(key, None)
        self._old.pop(key, None)

    def turn(self, now: float) -> None:
        next_turn = self.turns_at + self._span  # from when it was due: nobody may come for long
        if now < next_turn:
            self._old, self.turns_at = self._young, next_turn
        else:
            self._old, self.turns_at = {}, now + self._span
        self._young = {}

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())
