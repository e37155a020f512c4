"""The circuit breakers of one app or session: one for each upstream, and never too many."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TypeAlias

from ..clock import Clock
from ..events import OnEvent
from ..forks import begin_anew_when_forked
from ..policies.circuit import State
from ..policies.circuit_breaker import CircuitBreakerPolicy
from .breaker import CircuitBreaker
from .circuit_storage import CircuitStorage

MOST_CIRCUITS = 1000
_Key: TypeAlias = tuple[str, int]


class BreakerRegistry:
    """Keep a circuit breaker for each upstream that is called.

    Past *capacity*, the one that was not asked for the longest goes first among those that are
    closed; only when none is, it goes first among all.

    :param on_event: Told of every circuit's transitions.
    """

    def __init__(
        self,
        storage: CircuitStorage,
        clock: Clock,
        on_event: OnEvent,
        capacity: int = MOST_CIRCUITS,
    ) -> None:
        self._storage, self._clock, self._on_event = storage, clock, on_event
        self._capacity = capacity
        self._breakers: OrderedDict[_Key, CircuitBreaker] = OrderedDict()  # guarded by _lock
        self.begin_anew()
        begin_anew_when_forked(self)

    def breaker(
        self, upstream: str, policy: CircuitBreakerPolicy, timeout: float = 15.0
    ) -> CircuitBreaker:
        """Return the circuit breaker before *upstream*, a new one if there is none.

        :param timeout: How long an attempt may take where nobody says otherwise, in seconds.
        """
        key = (upstream, id(policy))  # the breaker keeps its policy, so no other has that ID
        with self._lock:
            found = self._breakers.get(key)
            if found is None:
                found = self._breakers[key] = CircuitBreaker(
                    upstream, policy, self._storage, self._clock, self._on_event, timeout
                )
                self._drop_surplus(key)
            self._breakers.move_to_end(key)
            return found

    def begin_anew(self) -> None:
        """Have a lock that nobody holds."""
        self._lock = threading.RLock()  # a collection in here may end a stream that asks for one

    def __len__(self) -> int:
        return len(self._breakers)

    def _drop_surplus(self, new: _Key) -> None:
        while len(self._breakers) > self._capacity:
            others = [key for key in self._breakers if key != new]
            closed = (key for key in others if self._is_closed(key))
            del self._breakers[next(closed, others[0])]

    def _is_closed(self, key: _Key) -> bool:
        return self._breakers[key].known_state is State.CLOSED
