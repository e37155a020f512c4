"""Circuits kept in the memory of this process: for tests, debugging and single processes."""

from __future__ import annotations

from dataclasses import dataclass
from threading import RLock

from ..clock import SYSTEM_CLOCK, Clock
from ..policies.breaker import Reading
from ..policies.circuit_breaker import Circuit


@dataclass(frozen=True, slots=True)
class _Entry:
    circuit: Circuit
    version: int
    expires_at: float


class MemoryStorage:
    """A dictionary behind one lock, which is held for a look-up and never for a call.

    Its time is the clock's monotonic one: nobody outside this process shares it.
    """

    name = "memory"

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._lock = RLock()  # a stream let go may end within a collection in here
        self._entries: dict[str, _Entry] = {}  # guarded by _lock
        self._version = 0  # guarded by _lock

    def read(self, key: str) -> Reading:
        """Return what is held for *key*."""
        now = self._clock.monotonic()
        with self._lock:
            return self._reading(key, now)

    def compare_and_set(
        self, key: str, version: int, circuit: Circuit, ttl: float
    ) -> Reading | None:
        """Write *circuit* if *key* is still at *version*, else return what is held."""
        now = self._clock.monotonic()
        with self._lock:
            held = self._reading(key, now)
            if held.version != version:
                return held
            self._version += 1
            self._entries[key] = _Entry(circuit, self._version, now + ttl)
            return None

    def _reading(self, key: str, now: float) -> Reading:
        entry = self._entries.get(key)
        if entry is None:
            return Reading(None, 0, now)
        if now >= entry.expires_at:
            del self._entries[key]
            return Reading(None, 0, now)
        return Reading(entry.circuit, entry.version, now)
