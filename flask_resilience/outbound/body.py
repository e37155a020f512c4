"""When a streamed body ends, and how: the moment its attempt can be judged."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeAlias

from requests import Response

OnEnd: TypeAlias = Callable[[BaseException | None], Exception | None]
"""Told once how a body ended: ``None`` after the last byte or a close, else what ended it, which is
``GeneratorExit`` where nobody was interested any more; returns the exception to raise instead."""


def watch_body(response: Response, on_end: OnEnd) -> None:
    """Tell *on_end* when the body of *response* was read, failed, was closed or was let go.

    Nothing in here keeps the response alive, so that one nobody closes ends when it is let go.
    """
    watch = _Watch(on_end)
    _put_before(response, "iter_content", watch.iter_content)
    _put_before(response, "close", watch.close)
    for name in ("read", "read1", "readinto"):
        _put_before(response.raw, name, watch.read)
    # The raw answer, not the response, is what lives as long as anybody may still read.
    weakref.finalize(response.raw, watch.end, GeneratorExit()).atexit = False


class _Watch:
    """Stands before the methods through which every way of reading a body goes."""

    def __init__(self, on_end: OnEnd) -> None:
        self._on_end: OnEnd | None = on_end
        self._iterating = False

    def end(self, error: BaseException | None) -> Exception | None:
        """Tell of the end, the first time this is called."""
        on_end, self._on_end = self._on_end, None
        return None if on_end is None else on_end(error)

    def iter_content(
        self, original: Callable[[], Iterator[Any]], response: Response
    ) -> Iterator[Any]:
        """Yield what the response yields, and notice the end."""
        return self._iterate(original())

    def _iterate(self, chunks: Iterator[Any]) -> Iterator[Any]:
        self._iterating = True
        try:
            yield from chunks
        except GeneratorExit:  # left early; whether it is closed is another matter
            raise
        except BaseException as error:
            instead = self.end(error)
            if instead is None:
                raise
            raise instead from error
        finally:
            self._iterating = False
        self.end(None)

    def close(self, original: Callable[[], None], response: Response) -> None:
        """Close the response; to stop early is an end like any other."""
        try:
            original()
        finally:
            self.end(None)

    def read(self, original: Callable[[], Any], raw: Any) -> Any:
        """Read from the raw answer, past the response, and notice a failure or the last byte."""
        if self._iterating:
            return original()
        try:
            data = original()
        except BaseException as error:
            self.end(error)
            raise
        if not data or raw.closed:
            self.end(None)
        return data


def _put_before(owner: Any, name: str, around: Callable[[Callable[[], Any], Any], Any]) -> None:
    """Put *around* before a method of one object, which it does not keep alive."""
    method, reference = getattr(type(owner), name, None), weakref.ref(owner)
    if method is None:
        return

    def replaced(*args: Any, **kwargs: Any) -> Any:
        itself = reference()
        return around(lambda: method(itself, *args, **kwargs), itself)

    with suppress(AttributeError):  # a double's object may take no attributes
        setattr(owner, name, replaced)
