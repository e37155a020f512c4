"""Storages whose every operation an outage watches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ..circuits.circuit_storage import CircuitStorage, Reading
from ..counters.counter_storage import CounterStorage
from ..policies.circuit import Circuit
from ..policies.quota import Claim, Decision
from .outage import Outage

S = TypeVar("S", bound=CircuitStorage | CounterStorage)


class _Guarded(Generic[S]):
    """What both kinds have in common.

    :param find: Gives the storage, which may be chosen at its first use.
    """

    def __init__(self, find: Callable[[], S], outage: Outage) -> None:
        self._find, self._outage = find, outage

    @property
    def name(self) -> str:
        """Return what kind the storage is."""
        return self._find().name

    @property
    def address(self) -> str:
        """Return where the storage is, as a URL without a password."""
        return self._find().address

    @property
    def shared(self) -> bool:
        """Return whether other processes meet in the storage."""
        return self._find().shared


class GuardedCircuits(_Guarded[CircuitStorage]):
    """Circuits that are refused at once while their storage is down."""

    def read(self, key: str) -> Reading:
        """Return what is held for *key*.

        :raises StorageError: If the storage is down.
        """
        return self._outage.watch(self._find().read, key)

    def compare_and_set(
        self, key: str, version: str, circuit: Circuit, ttl: float
    ) -> tuple[bool, Reading]:
        """Write *circuit* if *key* is still at *version*.

        :raises StorageError: If the storage is down.
        """
        return self._outage.watch(self._find().compare_and_set, key, version, circuit, ttl)


class GuardedCounters(_Guarded[CounterStorage]):
    """Counters that are refused at once while their storage is down."""

    def take(self, claim: Claim) -> Decision:
        """Grant *claim* if every quota has room for it, else take nothing.

        :raises StorageError: If the storage is down.
        """
        return self._outage.watch(self._find().take, claim)

    def look(self, claim: Claim) -> Decision:
        """Return what :meth:`take` would, and take nothing.

        :raises StorageError: If the storage is down.
        """
        return self._outage.watch(self._find().look, claim)

    def give_back(self, claim: Claim, at: float) -> None:
        """Take *claim* back, which was granted *at* that time of the storage.

        :raises StorageError: If the storage is down.
        """
        self._outage.watch(self._find().give_back, claim, at)

    def clear(self, key: str) -> None:
        """Forget what was counted for *key*.

        :raises StorageError: If the storage is down.
        """
        self._outage.watch(self._find().clear, key)

    def reset(self) -> None:
        """Forget all counters of this namespace.

        :raises StorageError: If the storage is down.
        """
        self._outage.watch(self._find().reset)
