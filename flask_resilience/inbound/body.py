"""The body of an answer on its way out: counted, in its own context, watched to its end."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextvars import Context
from typing import Any, cast

from .served import Served

SMALL = 64 * 1024
"""Bytes a kernel takes at once: such a last chunk has gone as soon as it is handed over."""


def watch_body(
    body: Iterable[bytes], served: Served, context: Context, file_wrapper: Any
) -> Iterable[bytes]:
    """Return *body* so that *served* learns of its end.

    :param file_wrapper: The server's class for files. One of its objects is returned itself, for
        only so the server can send the file by ``sendfile``; its ``close`` tells of the end.
    """
    if isinstance(file_wrapper, type) and isinstance(body, file_wrapper):
        return _watch_file(body, served, context)
    return _Body(body, served, context)


class _Body:
    """Iterates the app's body in the request's context."""

    def __init__(self, body: Iterable[bytes], served: Served, context: Context) -> None:
        self._body, self._served, self._context = body, served, context
        self._chunks: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return self._context.run(self._next)

    def _next(self) -> bytes:
        served = self._served
        try:
            if self._chunks is None:
                self._chunks = iter(self._body)
            chunk = next(self._chunks)
        except StopIteration:
            served.finish()
            raise
        except BaseException as error:
            served.fail(error)
            served.finish("stream_error")
            raise
        served.count(chunk)
        if served.complete and len(chunk) <= SMALL:
            served.finish()
        return chunk

    def close(self) -> None:
        """Close the app's body; if that comes early, the client has left."""
        self._context.run(self._close)

    def _close(self) -> None:
        served, failing = self._served, _server_fails()
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            served.finish(None if served.complete and not failing else "client_disconnected")


def _server_fails() -> bool:
    """Say whether the server closes an answer because it could not send it."""
    return sys.exc_info()[0] is not None


def _watch_file(file: Any, served: Served, context: Context) -> Iterable[bytes]:
    close = getattr(file, "close", None)

    def close_and_finish() -> None:
        failing = _server_fails()
        if close is not None:
            close()
        if not failing:
            served.assume_sent()
        context.run(served.finish, "client_disconnected" if failing else None)

    try:
        file.close = close_and_finish
    except AttributeError:  # a server's own class may allow no new attribute
        served.finish()
    return cast("Iterable[bytes]", file)
