"""Files that grow, are truncated and are rotated."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest

from flask_resilience.cli.follow import GrowingFile, follow


class EndedError(Exception):
    """The story is over."""


@pytest.fixture
def log(tmp_path):
    """Return a log with one line."""
    path = tmp_path / "app.log"
    path.write_bytes(b"first\n")
    return path


def append(path, data):
    """Write behind what is there."""
    with path.open("ab") as stream:
        stream.write(data)


def rotate(path):
    """Let a new, empty file take the name."""
    path.rename(path.with_suffix(".1"))
    path.write_bytes(b"")


def seen(paths, *steps):
    """Return the lines that are seen while *steps* happen, one after each look in vain."""
    waiting = list(steps)

    def wait(seconds):
        if not waiting:
            raise EndedError
        waiting.pop(0)()

    lines = []
    with suppress(EndedError):
        for block in follow([str(one) for one in paths], wait):
            assert block.endswith(b"\n") or not block
            lines += block.split()
    return lines


def test_growth(log):
    """What is there comes first, then what is written, whole lines only."""
    found = seen([log], lambda: append(log, b"se"), lambda: append(log, b"cond\nthird\n"))
    assert found == [b"first", b"second", b"third"]


def test_truncation(log):
    """A file that was made shorter is read from its start."""
    found = seen([log], lambda: os.truncate(log, 0), lambda: append(log, b"new\n"))
    assert found == [b"first", b"new"]


def test_rotation(log):
    """What was written last to a file that was renamed comes before the new file."""

    def write_and_rotate():
        append(log, b"last\n")
        rotate(log)
        append(log, b"new\n")

    assert seen([log], write_and_rotate) == [b"first", b"last", b"new"]


def test_lines_written_to_the_old_file_after_its_rotation(log):
    """A worker that still writes to the renamed file is heard until the new one has the name."""
    old = log.with_suffix(".1")

    def rename_and_write():
        log.rename(old)
        append(old, b"late\n")

    found = seen([log], rename_and_write, lambda: log.write_bytes(b"new\n"))
    assert found == [b"first", b"late", b"new"]


def test_rotation_within_a_line(log):
    """The beginning of a line that nobody ended does not join that of the new file."""
    found = seen(
        [log], lambda: append(log, b"torn"), lambda: rotate(log), lambda: append(log, b"new\n")
    )
    assert found == [b"first", b"torn", b"new"]


def test_a_line_written_just_before_the_rotation(log, monkeypatch):
    """What comes between the last look at a file and its renaming is not lost."""
    look = GrowingFile.is_replaced
    old = log.with_suffix(".1")

    def look_late(file):
        if not old.exists():
            append(log, b"last\n")
            rotate(log)
        return look(file)

    monkeypatch.setattr(GrowingFile, "is_replaced", look_late)
    assert seen([log], lambda: append(log, b"new\n")) == [b"first", b"last", b"new"]


def test_many_files(tmp_path, log):
    """All files are followed."""
    other = tmp_path / "other.log"
    other.write_bytes(b"other\n")
    found = seen([log, other], lambda: append(other, b"b\n"), lambda: append(log, b"a\n"))
    assert found == [b"first", b"other", b"b", b"a"]
