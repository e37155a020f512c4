"""One event in, every sink out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..events import Event, OnEvent, tell


class Dispatcher:
    """Hand each event to every listener; one that raises changes nothing.

    :param listeners: Called in their order, with no lock held.
    """

    def __init__(self, *listeners: OnEvent) -> None:
        self._listeners = listeners

    def __call__(self, event: Event) -> None:
        """Tell every listener of *event*."""
        for listener in self._listeners:
            tell(listener, event)

    @contextmanager
    def listening(self, listener: OnEvent) -> Iterator[None]:
        """Let *listener* hear every event, too, while the block runs."""
        self._listeners = (*self._listeners, listener)
        try:
            yield
        finally:
            self._listeners = tuple(one for one in self._listeners if one is not listener)
