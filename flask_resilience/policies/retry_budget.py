"""How many retries an upstream may cost: a share of its calls, and a few to spare.

With *share* the setting, a token bucket for each upstream, in each process::

    each call        + share
    each retry       - 1
    quiet seconds    + 1 each, up to 10
    at the start       10
    at the most       100

Quiet is the time in which the upstream neither fails nor is waited for. Seconds of an outage do not
count: they would pay for each retry with the wait before it, and the outage be met with every
attempt that the policy has. So what a total outage sees is at most ``calls * (1 + share)``, what
was saved before it, and one more for each second between its calls. An upstream that is seldom
called has all its retries.

Sources: Finagle ``RetryBudget``; gRPC proposal A6, "Throttling Retry Attempts and Hedged RPCs".
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from ..clock import Clock
from ..forks import begin_anew_when_forked

FLOOR = 10.0
CAP = 100.0
MOST_UPSTREAMS = 1000


@dataclass(frozen=True, slots=True)
class Tokens:
    """What is left to spend on retries.

    :param quiet_since: The end of the last call, failure or wait, in the clock's monotonic
        seconds; may lie ahead while a retry waits.
    """

    count: float = FLOOR
    quiet_since: float = 0.0

    def earn(self, share: float, now: float) -> Tokens:
        """Return what is left with a call begun: its share more, and what a quiet time gave."""
        quiet = max(0.0, now - self.quiet_since)
        rested = max(self.count, min(FLOOR, self.count + quiet))
        return Tokens(min(CAP, rested + share), max(now, self.quiet_since))

    def disturb(self, until: float) -> Tokens:
        """Return the same, with no quiet before *until*."""
        return Tokens(self.count, max(until, self.quiet_since))

    def spend(self) -> Tokens | None:
        """Return what is left after a retry; ``None`` if it is too much.

        A hair less than a whole token is one: shares add up with rounding.
        """
        return None if self.count < 1 - 1e-9 else Tokens(self.count - 1, self.quiet_since)


class RetryBudget:
    """The tokens of one upstream, shared by the threads of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = Tokens(quiet_since=clock.monotonic())  # guarded by _lock

    @property
    def left(self) -> float:
        """Return how many retries are left, with fractions."""
        return self._tokens.count

    def earn(self, share: float) -> None:
        """Note the first attempt of a call, which earns *share* of a retry."""
        if self._tokens.count >= CAP:
            return  # quiet time counts from the next failure on
        now = self._clock.monotonic()
        with self._lock:
            self._tokens = self._tokens.earn(share, now)

    def disturb(self, seconds: float = 0.0) -> None:
        """Note a failure just now, or a wait of so many seconds that begins now."""
        until = self._clock.monotonic() + seconds
        with self._lock:
            self._tokens = self._tokens.disturb(until)

    def spend(self) -> bool:
        """Pay for a retry, or say that there is nothing left to pay with."""
        with self._lock:
            left = self._tokens.spend()
            self._tokens = left or self._tokens
        return left is not None


class RetryBudgets:
    """The budgets of one app or session, one for each upstream.

    Past *capacity* one is forgotten: the first that has retries to spare, if there is any.
    """

    def __init__(self, clock: Clock, capacity: int = MOST_UPSTREAMS) -> None:
        self._clock, self._capacity = clock, capacity
        self.begin_anew()
        begin_anew_when_forked(self)

    def budget(self, upstream: str) -> RetryBudget:
        """Return the budget of *upstream*, a full one if there is none."""
        found = self._budgets.get(upstream)
        return self._add(upstream) if found is None else found

    def begin_anew(self) -> None:
        """Have nothing spent, and locks that nobody holds."""
        self._lock = threading.Lock()
        self._budgets: dict[str, RetryBudget] = {}  # written under _lock

    def _add(self, upstream: str) -> RetryBudget:
        with self._lock:
            if len(self._budgets) >= self._capacity:
                rested = (name for name, one in self._budgets.items() if one.left >= FLOOR)
                del self._budgets[next(rested, next(iter(self._budgets)))]
            return self._budgets.setdefault(upstream, RetryBudget(self._clock))
