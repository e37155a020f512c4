"""Follow files that grow, over truncation and rotation."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from .source import BLOCK, LONGEST_LINE

INTERVAL = 0.2
"""Seconds between two looks at files that did not grow."""


class GrowingFile:
    """A file under a name; when another file takes the name, that is read from its start.

    :raises OSError: If it cannot be opened.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._stream: BinaryIO = open(name, "rb", buffering=0)  # noqa: SIM115  # kept open
        self._rest = b""

    def read(self) -> bytes:
        """Return the whole lines that came since; nothing if none did."""
        data = self._stream.read(BLOCK)
        if not data:
            return self._begin_anew() if self.is_replaced() else b""
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        self._rest = data[end:][:LONGEST_LINE]
        return data[:end]

    def is_replaced(self) -> bool:
        """Say whether it was truncated, or another file has its name; none is no other."""
        mine = os.fstat(self._stream.fileno())
        try:
            named = os.stat(self._name)
        except OSError:
            return False
        other = (named.st_dev, named.st_ino) != (mine.st_dev, mine.st_ino)
        return other or mine.st_size < self._stream.tell()

    def close(self) -> None:
        """Let go of it."""
        self._stream.close()

    def _begin_anew(self) -> bytes:
        """Open what has the name now; return the last line of what was read, ended or not."""
        left = self._stream.read() or b""
        rest, self._rest = self._rest + left, b""
        try:
            stream: BinaryIO = open(self._name, "rb", buffering=0)  # noqa: SIM115  # kept open
        except OSError:
            self._rest = rest
            return b""
        self._stream.close()
        self._stream = stream
        return rest + b"\n" if rest else b"\n"


def follow(names: Sequence[str], wait: Callable[[float], object] = time.sleep) -> Iterator[bytes]:
    """Yield what is in the files and what comes, in blocks of whole lines, without end.

    :param wait: Called between two looks.
    """
    files = [GrowingFile(name) for name in names]
    try:
        while True:
            blocks = [block for file in files if (block := file.read())]
            yield from blocks
            if not blocks:
                wait(INTERVAL)
    finally:
        for file in files:
            file.close()
