"""What a circuit breaker needs of a storage: *read* and *compare-and-set*, and no rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn, Protocol

from ..errors import StorageError
from ..policies.circuit import Circuit

ABSENT = ""
"""The version of a key that holds nothing."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a storage holds for a key.

    :param circuit: The value; ``None`` if there is none or its time to live is over.
    :param version: Names this value in a compare-and-set; no two values ever have the same.
    :param now: The storage's time when it was so, in seconds since about the epoch; the only
        clock for the times in a circuit.
    """

    circuit: Circuit | None
    version: str
    now: float


class CircuitStorage(Protocol):
    """Where circuits live; shared by all who may meet in it.

    Making one connects to nothing. Its methods may be called from any thread, greenlet or forked
    process, take a bounded time, and raise :class:`~flask_resilience.StorageError` and nothing
    else, whatever happens to what lies behind.
    """

    @property
    def name(self) -> str:
        """Return what kind it is: ``memory``, ``sqlite`` or ``redis``."""

    @property
    def address(self) -> str:
        """Return where it is, as a URL without a password."""

    @property
    def shared(self) -> bool:
        """Return whether other processes meet in it."""

    def read(self, key: str) -> Reading:
        """Return what is held for *key*.

        :raises StorageError: If the storage cannot be asked.
        """

    def compare_and_set(
        self, key: str, version: str, circuit: Circuit, ttl: float
    ) -> tuple[bool, Reading]:
        """Write *circuit* if *key* is still at *version*.

        :param version: Of the value it takes the place of; :data:`ABSENT` if there was none.
        :param ttl: How long the value is kept if nobody writes again, in seconds.
        :return: Whether it was written, and what is held now.
        :raises StorageError: If the storage cannot be asked; it may have been written all the
            same, with the answer lost.
        """


class NoStorage:
    """Never to be asked, so that a circuit stays with the process it belongs to."""

    name = "process"
    address = "nowhere"
    shared = False

    def read(self, key: str) -> NoReturn:
        """Refuse.

        :raises StorageError: Always.
        """
        raise StorageError(self.address, "this circuit is not shared")

    def compare_and_set(self, key: str, version: str, circuit: Circuit, ttl: float) -> NoReturn:
        """Refuse.

        :raises StorageError: Always.
        """
        raise StorageError(self.address, "this circuit is not shared")
