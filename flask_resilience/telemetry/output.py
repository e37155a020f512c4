"""Standard output as lines go to it: each in one write of its own.

What several processes write into one pipe stays whole up to 4,096 bytes; longer lines tear.

Source: POSIX.1-2024, ``write()``, on ``PIPE_BUF``; pipe(7) for its size on Linux.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from typing import Any, NamedTuple

LONGEST_IN_PIPE = 4096
LONGEST = 65536
"""Bytes of a line, its end included."""


class _Target(NamedTuple):
    """A stream, and the file below it if nothing but buffers lies between."""

    stream: Any
    file: io.FileIO | None


_target = _Target(None, None)


def write_line(text: str) -> None:
    """Write *text* and a line's end, in one write where the stream leads straight to a file.

    ``sys.stdout`` is looked up for each line, so that a redirection holds from then on.
    """
    stream, file = _current()
    if file is None:
        _write_through(stream, text + "\n")
    else:
        _write_at_once(stream, file, (text + "\n").encode(stream.encoding, "backslashreplace"))


def longest_line() -> int:
    """Return how many bytes a line may have where it goes, its end included."""
    try:
        file = _current().file
        in_pipe = file is not None and stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)
    except (OSError, ValueError):  # it is closed
        return LONGEST
    return LONGEST_IN_PIPE if in_pipe else LONGEST


def _current() -> _Target:
    global _target  # noqa: PLW0603  # one for the process, as sys.stdout is
    target = _target
    if sys.stdout is not target.stream:
        target = _target = _Target(sys.stdout, _file_below(sys.stdout))
    return target


def _file_below(stream: Any) -> io.FileIO | None:
    """Return the file that *stream* writes to; ``None`` if a layer of somebody's own is above."""
    if type(stream) is not io.TextIOWrapper or "\n".encode(stream.encoding) != b"\n":
        return None
    buffer: Any = stream.buffer
    file = buffer.raw if type(buffer) is io.BufferedWriter else buffer
    return file if type(file) is io.FileIO else None


def _write_through(stream: Any, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError as error:
        stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
    stream.flush()


def _write_at_once(stream: Any, file: io.FileIO, line: bytes) -> None:
    rest = line
    try:
        stream.flush()
        while rest:
            written: int | None = file.write(rest)
            if written is None:
                raise BlockingIOError  # noqa: TRY301  # the same as where the flush finds it
            rest = rest[written:]
    except BlockingIOError:  # whoever reads is slow; a later line takes this one along
        stream.buffer.write(rest)
