"""A storage that is chosen when it is first used: what decides it may be set until then."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..circuits.circuit_storage import CircuitStorage, Reading
from ..forks import begin_anew_when_forked
from ..policies.circuit import Circuit


class ChosenStorage:
    """Be the storage that *choose* returns when this one is first used.

    :param choose: Called once in each process; connects to nothing.
    """

    _lock: threading.RLock
    _chosen: CircuitStorage | None  # guarded by _lock

    def __init__(self, choose: Callable[[], CircuitStorage]) -> None:
        self._choose = choose
        self.begin_anew()
        begin_anew_when_forked(self)

    @property
    def chosen(self) -> CircuitStorage:
        """Return the storage, from now on always the same."""
        with self._lock:
            if self._chosen is None:
                self._chosen = self._choose()
            return self._chosen

    def begin_anew(self) -> None:
        """Have nothing chosen: a worker may be another user than the process it was forked from."""
        self._lock = threading.RLock()  # a stream let go may end within a collection in here
        self._chosen = None

    @property
    def name(self) -> str:
        """Return what kind the storage is."""
        return self.chosen.name

    @property
    def address(self) -> str:
        """Return where the storage is, as a URL without a password."""
        return self.chosen.address

    @property
    def shared(self) -> bool:
        """Return whether other processes meet in the storage."""
        return self.chosen.shared

    def read(self, key: str) -> Reading:
        """Return what is held for *key*.

        :raises StorageError: If the storage cannot be asked.
        """
        return self.chosen.read(key)

    def compare_and_set(
        self, key: str, version: str, circuit: Circuit, ttl: float
    ) -> tuple[bool, Reading]:
        """Write *circuit* if *key* is still at *version*.

        :raises StorageError: If the storage cannot be asked.
        """
        return self.chosen.compare_and_set(key, version, circuit, ttl)
