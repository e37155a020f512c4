"""The storage of an app; where none is named it is chosen at its first use, when all is set."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ..clock import Clock
from ..forks import begin_anew_when_forked
from .place import default_path
from .url import Opened, open_all

T = TypeVar("T")


class Chosen(Generic[T]):
    """Be what *choose* returns when this is first called, from then on always the same.

    :param choose: Called once in each process, for a worker may be another user than the process
        it was forked from; connects to nothing.
    """

    _chosen: T | None  # guarded by _lock

    def __init__(self, choose: Callable[[], T]) -> None:
        self._choose = choose
        self.begin_anew()
        begin_anew_when_forked(self)

    def __call__(self) -> T:
        """Return what was chosen."""
        chosen = self._chosen
        if chosen is not None:
            return chosen
        with self._lock:
            if self._chosen is None:
                self._chosen = self._choose()
            return self._chosen

    def begin_anew(self) -> None:
        """Have nothing chosen."""
        self._lock = threading.RLock()  # a stream let go may end within a collection in here
        self._chosen = None


def app_storage(
    url: str | None, *, namespace: str, salt: str, clock: Clock, alone: Callable[[], bool]
) -> Callable[[], Opened]:
    """Return what gives the storage of an app; nothing is connected to or written yet.

    :param url: What the app names; ``None`` for a file that all processes of this user share.
    :param salt: Tells apart apps that have the same namespace by chance.
    :param alone: Says whether an app that names none is one that nobody else shares, as in tests.
    :raises ConfigurationError: If a package is missing for the URL.
    """
    if url is not None:
        opened = open_all(url, namespace=namespace, clock=clock)
        return lambda: opened

    def choose() -> Opened:
        chosen = "memory://" if alone() else f"sqlite:///{default_path(namespace, salt)}"
        return open_all(chosen, namespace=namespace, clock=clock)

    return Chosen(choose)
