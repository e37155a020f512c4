"""What people see: text without control characters, in colour on terminals alone."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from typing import BinaryIO

import click

from .record import Record

LEVEL_COLOURS = {"debug": "blue", "info": "green", "warning": "yellow", "error": "red"}
LEVEL_COLOURS["critical"] = "red"
SHOWN_APART = frozenset(
    {"timestamp", "level", "event", "logger", "service", "pid", "request_id"}
    | {"trace_id", "span_id", "parent_span_id", "exception_stacktrace"}
)
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = re.compile(r'File "([^"]*)", line (\d+), in (\S+)')


class Output:
    """Standard output.

    :param stream: Where bytes go.
    :param is_terminal: Whether people look at it.
    """

    def __init__(self, stream: BinaryIO, is_terminal: bool) -> None:
        self._stream, self.is_terminal = stream, is_terminal
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        self.is_coloured = is_terminal and not plain
        self.encoding: str = sys.stdout.encoding if is_terminal else "utf-8"

    def line(self, text: str) -> None:
        """Write a line of text, which was made visible."""
        self._stream.write(text.encode(self.encoding, "backslashreplace") + b"\n")

    def json(self, raw: bytes) -> None:
        """Write a JSON object as it is; on a terminal what could steer it is escaped."""
        if self.is_terminal:
            raw = escape_json(raw)
        self._stream.write(raw + b"\n")

    def flush(self) -> None:
        """Show what was written."""
        self._stream.flush()

    def paint(self, text: str, colour: str, *, bold: bool = False) -> str:
        """Return *text* in a colour, if there are colours."""
        return click.style(text, fg=colour, bold=bold or None) if self.is_coloured else text


def standard_output() -> Output:
    """Return where the results go; with a buffer, even where Python was told to use none."""
    return Output(open(sys.stdout.fileno(), "wb", closefd=False), sys.stdout.isatty())


def visible(text: str) -> str:
    r"""Return *text* with every character that does not print escaped, line ends too.

    >>> visible("caf\u00e9\x1b[2J\n")
    'café\\x1b[2J\\n'
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def visible_line(line: bytes) -> str:
    """Return a line of foreign text: tabs as spaces, colours taken out."""
    text = _STYLE.sub("", line.decode("utf-8", "backslashreplace").rstrip("\r\n"))
    return visible(text.expandtabs())


def escape_json(raw: bytes) -> bytes:
    """Return a JSON object in which every character that does not print is escaped."""
    text = raw.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text.encode()
    shown = (one if one.isprintable() else _escaped(one) for one in text)
    return "".join(shown).encode("utf-8", "backslashreplace")


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def readable(record: Record, output: Output) -> str:
    """Return a record as one line for people."""
    level = record.text("level").lower()
    written = record.text("timestamp").replace("T", " ")[:23]
    parts = [
        visible(written or "-"),
        output.paint(visible(f"{level:8}"), LEVEL_COLOURS.get(level, "white")),
        output.paint(visible(record.text("service")), "cyan"),
        output.paint(visible(record.event), "white", bold=True),
        pairs(record),
    ]
    if request_id := record.text("request_id"):
        parts.append(output.paint(f"[{visible(request_id)}]", "blue"))
    return " ".join(part for part in parts if part)


def pairs(record: Record, leave_out: Sequence[str] = ()) -> str:
    """Return the fields of a record as ``name=value``, without those on every line."""
    shown = [
        f"{visible(name)}={_value(value)}"
        for name, value in record.fields.items()
        if name not in SHOWN_APART and name not in leave_out
    ]
    frames = _FRAME.findall(record.text("exception_stacktrace"))
    if frames:
        shown.append(visible("at={}:{} in={}".format(*frames[-1])))
    return " ".join(shown)


def _value(value: object) -> str:
    """Return a value as JSON writes it; text without quotes where nothing is lost by that."""
    if isinstance(value, str) and value and " " not in value and '"' not in value:
        return visible(value)
    return visible(json.dumps(value, ensure_ascii=False, default=str))
