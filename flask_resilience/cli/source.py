"""Where log lines come from: files, gzip or not, and standard input, in blocks of whole lines.

What is held in memory is bounded, however large a file or a line is.
"""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

BLOCK = 1 << 20
"""Bytes read at once."""
LONGEST_LINE = 1 << 20
"""Bytes of a line that are kept; what follows in a longer one is dropped."""
STANDARD_INPUT = "-"
GZIP_MAGIC = b"\x1f\x8b"

Read: TypeAlias = Callable[[int], bytes]
OnRead: TypeAlias = Callable[[int], None]


class SourceError(Exception):
    """A file cannot be read; the message names it."""


class Source:
    """One log.

    :param name: Path of a file, or ``-`` for standard input.
    :param on_read: Told how many more bytes of a regular file were read.
    :raises SourceError: If it cannot be read.
    """

    def __init__(self, name: str, on_read: OnRead = lambda size: None) -> None:
        self.name, self._on_read = name, on_read
        self.is_cut = False
        self.is_file = self.is_gzip = False
        self.size = 0
        self._copy: Any = None
        if name != STANDARD_INPUT:
            self._look()

    def _look(self) -> None:
        """Look what it is, and whether it opens; a pipe is left alone, as its writer would see."""
        with _named_errors(self.name):
            found = os.stat(self.name)
            if stat.S_ISDIR(found.st_mode):
                raise SourceError(f"{self.name!r} is a directory, not a file.")
            self.is_file, self.size = stat.S_ISREG(found.st_mode), found.st_size
            if self.is_file:
                with open(self.name, "rb") as stream:
                    self.is_gzip = stream.read(2) == GZIP_MAGIC

    @property
    def grows(self) -> bool:
        """Say whether it can be followed."""
        return self.is_file and not self.is_gzip

    def keep(self) -> None:
        """Make sure it can be read again: what can be read only once is copied to disk."""
        if self.is_file or self._copy is not None:
            return
        copy = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as this
        with _named_errors(self.name), self._open() as stream:
            shutil.copyfileobj(stream, copy, BLOCK)
        self._copy = copy

    def close(self) -> None:
        """Throw the copy away, if there is one."""
        if self._copy is not None:
            self._copy.close()

    def blocks(self) -> Iterator[bytes]:
        """Yield all of it; each block ends with the end of a line.

        :raises SourceError: If it cannot be read any more.
        """
        with _named_errors(self.name), self._open() as stream:
            unzipped = stream.peek(2).startswith(GZIP_MAGIC)
            read = self._unzip(stream) if unzipped else stream.read1
            told = 0
            for block in whole_lines(read):
                yield block
                if self.is_file:
                    position = stream.tell()
                    self._on_read(position - told)
                    told = position

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """Open it at its start; the streams have ``peek`` and ``read1``."""
        if self._copy is not None:
            self._copy.seek(0)
            yield self._copy
        elif self.name == STANDARD_INPUT:
            yield sys.stdin.buffer
        else:
            with open(self.name, "rb") as stream:
                yield stream

    def _unzip(self, stream: Any) -> Read:
        unzipped = gzip.GzipFile(fileobj=stream)

        def read(size: int) -> bytes:
            try:
                return unzipped.read1(size)
            except (EOFError, zlib.error, gzip.BadGzipFile):  # it is still written to, or torn
                self.is_cut = True
                return b""

        return read


def whole_lines(read: Read) -> Iterator[bytes]:
    """Yield what *read* gives until it gives nothing, in blocks that end with a line's end."""
    rest = b""
    while block := read(BLOCK):
        end = block.rfind(b"\n") + 1
        if end:
            yield rest + block[:end]
            rest = block[end:]
        else:
            rest = (rest + block)[:LONGEST_LINE]
    if rest:
        yield rest + b"\n"


def lines_not_json(block: bytes) -> int:
    r"""Return how many lines of *block* do not end as an object does, without looking into them.

    >>> lines_not_json(b'{"event": "paid"}\nTraceback:\n{"event": "tor\n')
    2
    """
    others = block.count(b"\n") - block.count(b"}\n")
    # Most blocks hold JSON alone, and a scan spends much of its time here.
    if others and b"\r" in block:
        others -= block.count(b"}\r\n")
    return others and others - block.count(b"\n\n")


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Turn what the system says of a file into one sentence that names it."""
    try:
        yield
    except FileNotFoundError:
        raise SourceError(f"There is no file {name!r}.") from None
    except BrokenPipeError:  # that of the reader of our output
        raise
    except OSError as error:
        raise SourceError(f"{name!r} cannot be read: {error.strerror or error}.") from None
