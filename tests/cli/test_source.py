"""Logs as blocks of whole lines."""

from __future__ import annotations

import gzip
import io

import pytest

from flask_resilience.cli import source
from flask_resilience.cli.source import Source, SourceError, lines_not_json, whole_lines


def chunks(*data):
    """Return what reads one chunk after the other."""
    waiting = list(data)
    return lambda size: waiting.pop(0) if waiting else b""


@pytest.mark.parametrize(
    ("read", "blocks"),
    [
        pytest.param([b"a\nb\n"], [b"a\nb\n"], id="whole"),
        pytest.param([b"a\nb", b"c\nd\n"], [b"a\n", b"bc\nd\n"], id="line over two reads"),
        pytest.param([b"a\nb"], [b"a\n", b"b\n"], id="last line without end"),
        pytest.param([], [], id="empty"),
    ],
)
def test_blocks_end_with_lines(read, blocks):
    """A block never ends within a line."""
    assert list(whole_lines(chunks(*read))) == blocks


def test_a_line_without_end_stays_small(monkeypatch):
    """Of a line longer than any log line only the head is kept, and the next one is read."""
    monkeypatch.setattr(source, "LONGEST_LINE", 10)
    blocks = list(whole_lines(chunks(*[b"x" * 8] * 100, b"\nnext\n")))
    assert blocks == [b"x" * 10 + b"\nnext\n"]


def test_gzip_is_known_by_its_content(tmp_path):
    """A gzipped log is read whatever it is called."""
    path = tmp_path / "app.log.1"
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    assert b"".join(Source(str(path)).blocks()) == b"one\ntwo\n"


def test_gzip_that_is_still_written(tmp_path):
    """What can be read of a gzip file without its end is read, and the rest is told."""
    text = b"".join(b"line %d %d\n" % (number, number**5) for number in range(20_000))
    path = tmp_path / "app.log.gz"
    path.write_bytes(gzip.compress(text)[:-2000])
    log = Source(str(path))
    found = b"".join(log.blocks())
    assert log.is_cut
    assert found.startswith(text[:1000])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("none.log", "There is no file", id="missing"),
        pytest.param(".", "is a directory", id="directory"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, name, words):
    """The error is one sentence that names the file."""
    path = str(tmp_path / name)
    with pytest.raises(SourceError, match=words) as raised:
        Source(path)
    assert repr(path) in str(raised.value)


def test_standard_input_can_be_kept(monkeypatch):
    """What can be read only once is kept on disk when it is needed twice."""
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"one\n")))
    monkeypatch.setattr("sys.stdin", stdin)
    log = Source("-")
    log.keep()
    assert [b"".join(log.blocks()) for _ in range(2)] == [b"one\n"] * 2
    log.close()


def test_reading_is_told(tmp_path):
    """Whoever shows how far it is hears of every byte of a file."""
    path = tmp_path / "app.log"
    path.write_bytes(b"x\n" * 2_000_000)
    told = []
    list(Source(str(path), told.append).blocks())
    assert sum(told) == 4_000_000
    assert len(told) > 2


@pytest.mark.parametrize(
    ("block", "count"),
    [
        pytest.param(b'{"a":1}\n' * 3, 0, id="JSON"),
        pytest.param(b'{"a":1}\r\n', 0, id="Windows line ends"),
        pytest.param(b'{"a":1}\n\n{"a":1}\n', 0, id="empty line"),
        pytest.param(b'{"a":1}\nTraceback\n{"a\n', 2, id="text and a torn line"),
    ],
)
def test_lines_that_are_no_json_are_counted(block, count):
    """Lines that do not end as an object does are counted without a look into the others."""
    assert lines_not_json(block) == count
