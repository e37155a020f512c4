"""When a streamed body ends, and how: the moment its attempt can be judged."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any, TypeAlias

from requests import Response

OnEnd: TypeAlias = Callable[[BaseException | None], Exception | None]
"""Told once how a body ended: ``None`` after the last byte or a close, else what ended it, which is
``GeneratorExit`` where nobody was interested any more; returns the exception to raise instead."""


def watch_body(response: Response, on_end: OnEnd) -> None:
    """Tell *on_end* when the body of *response* was read, failed, was closed or was let go.

    The response and its raw answer become objects of a class derived from their own. Nothing in
    here keeps them alive, so that one nobody closes ends when it is let go.
    """
    watch = _Watch(on_end)
    _become_watched(response, _WatchedResponse, watch)
    _become_watched(response.raw, _WatchedRaw, watch)
    # The raw answer, not the response, is what lives as long as anybody may still read.
    weakref.finalize(response.raw, watch.end, GeneratorExit()).atexit = False


class _Watch:
    """Notices the end of one body, by whichever of its methods it comes."""

    def __init__(self, on_end: OnEnd) -> None:
        self._on_end: OnEnd | None = on_end
        self._iterating = False

    def end(self, error: BaseException | None) -> Exception | None:
        """Tell of the end, the first time this is called."""
        on_end, self._on_end = self._on_end, None
        return None if on_end is None else on_end(error)

    def iterate(self, chunks: Iterator[Any]) -> Iterator[Any]:
        """Yield *chunks* and notice their end; to leave early is none yet."""
        if self._iterating:  # of the raw answer, within those of the response
            yield from chunks
            return
        self._iterating = True
        try:
            yield from chunks
        except GeneratorExit:
            raise
        except BaseException as error:
            instead = self.end(error)
            if instead is None:
                raise
            raise instead from error
        finally:
            self._iterating = False
        self.end(None)

    def read(self, raw: Any, read: Callable[[], Any], *, ends_empty: bool) -> Any:
        """Read past the response, and notice a failure or the last byte.

        :param ends_empty: Whether to get nothing means that there is no more.
        """
        if self._iterating:
            return read()
        try:
            data = read()
        except BaseException as error:
            self.end(error)
            raise
        if raw.closed or (ends_empty and not data):
            self.end(None)
        return data


class _WatchedResponse:
    """What a watched response does otherwise than one of its own class."""

    watch: _Watch

    def iter_content(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        chunks = super().iter_content(*args, **kwargs)  # type: ignore[misc]  # of its own class
        return self.watch.iterate(chunks)

    def close(self) -> None:
        try:
            super().close()  # type: ignore[misc]  # of its own class
        finally:
            self.watch.end(None)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Be pickled as one of its own class, read to its end."""
        own_class = type(self).__bases__[1]
        state = super().__getstate__()  # type: ignore[misc]  # of its own class
        return object.__new__, (own_class,), state


class _WatchedRaw:
    """What a watched raw answer does otherwise than one of its own class."""

    watch: _Watch

    def read(self, amt: int | None = None, *args: Any, **kwargs: Any) -> Any:
        read = super().read  # type: ignore[misc]  # of its own class
        return self.watch.read(self, lambda: read(amt, *args, **kwargs), ends_empty=amt != 0)

    def read1(self, *args: Any, **kwargs: Any) -> Any:
        read = super().read1  # type: ignore[misc]  # of its own class
        return self.watch.read(self, lambda: read(*args, **kwargs), ends_empty=False)

    def readinto(self, buffer: Any) -> Any:
        read = super().readinto  # type: ignore[misc]  # of its own class
        return self.watch.read(self, lambda: read(buffer), ends_empty=True)

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        chunks = super().stream(*args, **kwargs)  # type: ignore[misc]  # of its own class
        return self.watch.iterate(chunks)


def _become_watched(owner: Any, methods: type, watch: _Watch) -> None:
    with suppress(TypeError, AttributeError):  # a double's object may refuse
        own_class: Any = type(owner)
        owner.__class__ = _watched_class(own_class, methods)
        owner.watch = watch


@cache
def _watched_class(own_class: Any, methods: Any) -> Any:
    return type(own_class.__name__, (methods, own_class), {"__module__": own_class.__module__})
