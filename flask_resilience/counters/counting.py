"""Counting that goes on while its storage is down: in this process, not at all, or strictly."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from ..errors import StorageError
from ..policies.quota import Claim, Decision
from .counter_storage import CounterStorage

FALLBACK, OPEN, CLOSED = "fallback", "open", "closed"
UNASKED = (Decision(granted=True, standings=(), at=0.0), Decision(False, (), 0.0))
"""What is decided of a claim that nobody counted, where that is to pass, and where not."""


class Counted(NamedTuple):
    """A claim, what became of it, and who counted it; ``None`` if nobody could."""

    claim: Claim
    decision: Decision
    storage: CounterStorage | None

    def given_back(self) -> Counted:
        """Take back what was granted, and return how it stands then; a second time does nothing.

        Where it cannot be taken back now, the window's end does it.
        """
        if self.storage is None or not self.decision.granted:
            return self
        with suppress(StorageError):  # whose outage is told of by itself
            self.storage.give_back(self.claim, self.decision.at)
        cost, standings = self.claim.cost, self.decision.standings
        without = tuple([one._replace(used=one.used - cost) for one in standings])
        return Counted(self.claim, self.decision._replace(standings=without), None)


class Counting:
    """Take claims to the storage, and know what to do where that is down.

    :param local: Counts for this process alone meanwhile.
    :param asked_again_in: Gives how many seconds the storage is left alone for.
    """

    def __init__(
        self,
        storage: CounterStorage,
        local: CounterStorage,
        asked_again_in: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.storage, self._local, self.asked_again_in = storage, local, asked_again_in

    def take(self, claim: Claim, on_error: str) -> Counted:
        """Grant *claim* if every quota has room for it; never raises.

        :param on_error: ``fallback``, ``open`` or ``closed``.
        """
        try:
            return Counted(claim, self.storage.take(claim), self.storage)
        except StorageError:
            if on_error == FALLBACK:
                return Counted(claim, self._local.take(claim), self._local)
            return Counted(claim, UNASKED[on_error == CLOSED], None)

    def look(self, claim: Claim) -> Decision:
        """Return what :meth:`take` would, as far as anybody can be asked; never raises."""
        try:
            return self.storage.look(claim)
        except StorageError:
            return self._local.look(claim)

    def clear(self, key: str) -> None:
        """Forget what was counted for *key*.

        :raises StorageError: If the storage cannot be asked.
        """
        self._local.clear(key)
        self.storage.clear(key)

    def reset(self) -> None:
        """Forget all counters.

        :raises StorageError: If the storage cannot be asked.
        """
        self._local.reset()
        self.storage.reset()
