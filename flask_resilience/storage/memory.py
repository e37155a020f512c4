"""Circuits kept in the memory of this process: for tests, debugging and single processes."""

from __future__ import annotations

from dataclasses import dataclass
from threading import RLock

from ..circuits.circuit_storage import ABSENT, Reading
from ..clock import SYSTEM_CLOCK, Clock
from ..forks import begin_anew_when_forked
from ..policies.circuit import Circuit

CAPACITY = 1000


@dataclass(frozen=True, slots=True)
class _Entry:
    circuit: Circuit
    version: str
    expires_at: float


class MemoryStorage:
    """A dictionary behind one lock, which is held for a look-up and never for a call.

    Its time is the wall clock's as it was at the beginning, and goes on steadily from there
    however that one is set later. Past its capacity, what expires first goes first: circuits that
    opened are kept longer than healthy ones, and so are the last to go.

    :param capacity: How many circuits it keeps at most.
    """

    name = "memory"
    address = "memory://"
    shared = False

    def __init__(self, clock: Clock = SYSTEM_CLOCK, *, capacity: int = CAPACITY) -> None:
        self._clock = clock
        self._offset = clock.wall() - clock.monotonic()
        self._capacity = capacity
        self._entries: dict[str, _Entry] = {}  # guarded by _lock
        self._written = 0  # guarded by _lock
        self.begin_anew()
        begin_anew_when_forked(self)

    def read(self, key: str) -> Reading:
        """Return what is held for *key*; never raises."""
        with self._lock:
            return self._reading(key, self._now())

    def compare_and_set(
        self, key: str, version: str, circuit: Circuit, ttl: float
    ) -> tuple[bool, Reading]:
        """Write *circuit* if *key* is still at *version*; never raises."""
        with self._lock:
            now = self._now()
            held = self._reading(key, now)
            if held.version != version:
                return False, held
            if key not in self._entries:
                self._make_room(now)
            self._written += 1
            entry = _Entry(circuit, str(self._written), now + ttl)
            self._entries[key] = entry
            return True, Reading(circuit, entry.version, now)

    def begin_anew(self) -> None:
        """Have a lock that nobody holds."""
        self._lock = RLock()  # a stream let go may end within a collection in here

    def _now(self) -> float:
        return self._offset + self._clock.monotonic()

    def _reading(self, key: str, now: float) -> Reading:
        entry = self._entries.get(key)
        if entry is None or now >= entry.expires_at:
            return Reading(None, ABSENT, now)
        return Reading(entry.circuit, entry.version, now)

    def _make_room(self, now: float) -> None:
        """Leave room for one more: without what expired, or else what expires first."""
        if len(self._entries) < self._capacity:
            return
        self._entries = {key: one for key, one in self._entries.items() if now < one.expires_at}
        while len(self._entries) >= self._capacity:
            del self._entries[min(self._entries, key=lambda key: self._entries[key].expires_at)]
