"""What limits need of a storage: a claim is granted whole or not at all."""

from __future__ import annotations

from typing import Protocol

from ..policies.quota import Claim, Decision


class CounterStorage(Protocol):
    """Where counters live; shared by all who may meet in it.

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

    def take(self, claim: Claim) -> Decision:
        """Grant *claim* if every quota has room for it, else take nothing.

        However many take at once, no quota is ever exceeded.

        :raises StorageError: If the storage cannot be asked; it may have been granted all the
            same, with the answer lost.
        """

    def look(self, claim: Claim) -> Decision:
        """Return what :meth:`take` would, and take nothing.

        :raises StorageError: If the storage cannot be asked.
        """

    def give_back(self, claim: Claim, at: float) -> None:
        """Take *claim* back, which was granted *at* that time of the storage.

        What has left its windows since is left alone.

        :raises StorageError: If the storage cannot be asked.
        """

    def clear(self, key: str) -> None:
        """Forget what was counted for *key*.

        :raises StorageError: If the storage cannot be asked.
        """

    def reset(self) -> None:
        """Forget all counters of this namespace.

        :raises StorageError: If the storage cannot be asked.
        """
