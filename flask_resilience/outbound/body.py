"""When a streamed body ends, and how: the moment its attempt can be judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from requests import Response

OnEnd = Callable[[Exception | None], Exception | None]
"""Told once that the body ended: the exception that ended it, or ``None`` after the last byte or
a close; returns the exception to raise instead."""


def watch_body(response: Response, on_end: OnEnd) -> None:
    """Tell *on_end* when the body of *response* was read, failed or was closed."""
    watch = _Watch(response, on_end)
    response.iter_content = watch.iter_content  # type: ignore[method-assign]
    response.close = watch.close  # type: ignore[method-assign]


class _Watch:
    """Stands before the two methods through which every way of reading a body goes."""

    def __init__(self, response: Response, on_end: OnEnd) -> None:
        self._iter_content, self._close = response.iter_content, response.close
        self._on_end: OnEnd | None = on_end

    def iter_content(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Yield what the response yields, and notice the end."""
        chunks = self._iter_content(*args, **kwargs)
        return self._watched(chunks)

    def close(self) -> None:
        """Close the response; to stop early is an end like any other."""
        try:
            self._close()
        finally:
            self._end(None)

    def _watched(self, chunks: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from chunks
        except Exception as error:
            instead = self._end(error)
            if instead is None:
                raise
            raise instead from error
        self._end(None)

    def _end(self, error: Exception | None) -> Exception | None:
        on_end, self._on_end = self._on_end, None
        return None if on_end is None else on_end(error)
