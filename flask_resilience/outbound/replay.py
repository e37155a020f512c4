"""Sending a request's body once more."""

from __future__ import annotations

from typing import Any

from requests.exceptions import UnrewindableBodyError

LASTING = (type(None), bytes, str, bytearray, memoryview)
"""Bodies that sending does not use up."""


class Replay:
    """A body that may be sent again: none, bytes, text, or a file that returns to where it stood.

    :param body: As in a prepared request, before it was first sent.
    """

    def __init__(self, body: Any) -> None:
        self._body = body
        self._start = None if isinstance(body, LASTING) else _position(body)

    @property
    def possible(self) -> bool:
        """Say whether the body can be sent again."""
        return isinstance(self._body, LASTING) or self._start is not None

    def rewind(self) -> None:
        """Return a file to where it stood.

        :raises requests.exceptions.UnrewindableBodyError: If it cannot, say because it was closed.
        """
        if self._start is None:
            return
        try:
            self._body.seek(self._start)
        except (OSError, ValueError) as error:
            raise UnrewindableBodyError("The body was closed before it was sent again.") from error


def _position(body: Any) -> int | None:
    """Return where a file stands; ``None`` if it could not be brought back there."""
    try:
        return int(body.tell()) if body.seekable() else None
    except (AttributeError, OSError, ValueError):
        return None
