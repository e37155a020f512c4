"""Show the records of logs that pass every filter, one line each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .filter import Filter
from .output import Output, readable, visible_line
from .record import parse_record
from .source import lines_not_json


class Listing:
    """What is shown of blocks of lines, and whether anything was.

    :param filters: All of them must accept a record; with any, what is no JSON is left out.
    :param as_json: Show JSON objects as they are, and nothing else.
    """

    def __init__(self, filters: Sequence[Filter], output: Output, *, as_json: bool) -> None:
        self._filters, self._output, self._as_json = filters, output, as_json
        self.not_json = 0
        self.found = False

    def show(self, block: bytes) -> None:
        """Show what is wanted of whole lines."""
        self.not_json += lines_not_json(block)
        if not self._may_accept(block):
            return
        for line in block.split(b"\n"):
            if line and self._may_accept(line):
                self._show_line(line)

    def show_all(self, blocks: Iterable[bytes], *, at_once: bool = False) -> None:
        """Show what is wanted of all blocks.

        :param at_once: Let none wait until more is to be written.
        """
        for block in blocks:
            self.show(block)
            if at_once:
                self._output.flush()

    def follow(self, blocks: Iterable[bytes]) -> None:
        """Show what comes, as it comes, until somebody interrupts."""
        try:
            self.show_all(blocks, at_once=True)
        except KeyboardInterrupt:  # the way to end it
            return

    @property
    def leaves_out(self) -> bool:
        """Say whether lines that are no JSON are left out."""
        return self._as_json or bool(self._filters)

    def _may_accept(self, data: bytes) -> bool:
        return all(one.may_accept(data) for one in self._filters)

    def _show_line(self, line: bytes) -> None:
        record = parse_record(line)
        if record is None:
            self.not_json += line.rstrip(b"\r").endswith(b"}")
            if self.leaves_out:
                return
            self._output.line(visible_line(line))
        elif not all(one.accepts(record) for one in self._filters):
            return
        elif self._as_json:
            self._output.json(record.raw)
        else:
            self._output.line(readable(record, self._output))
        self.found = True
