"""Find every line of one request in logs of any size and order.

The ID is looked for as bytes, and only lines that hold it are parsed. A request ID leads to trace
IDs, and these to lines of services that gave the request an ID of their own, so the logs are read
again while there are new ones: two times, as a rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .record import Record, needle, parse_record
from .source import Source, lines_not_json

MOST_RECORDS = 10_000
"""Lines of one request that are kept."""
MOST_IDS = 100
"""IDs that one line may lead to."""


@dataclass(slots=True)
class Found:
    """What logs hold of one request.

    :param wanted: The request ID or trace ID that was asked for.
    :param records: In the order of their times.
    :param not_json: Lines that are no JSON.
    :param undated: Lines that do not say when they were written, and are left out.
    :param is_cut: Whether there are more records than are kept.
    """

    wanted: str
    records: list[Record] = field(default_factory=list)
    not_json: int = 0
    undated: int = 0
    is_cut: bool = False

    def is_named_by(self, record: Record) -> bool:
        """Say whether a record holds the ID that was asked for."""
        return self.wanted in (record.text("request_id"), record.text("trace_id"))


def find(sources: Sequence[Source], wanted: str) -> Found:
    """Return the records of the request or the trace that has this ID.

    :raises SourceError: If a source cannot be read.
    """
    found, seen, searched = Found(wanted), set[bytes](), set[str]()
    requests, traces = {wanted}, {wanted}
    while new := sorted((requests | traces) - searched)[:MOST_IDS]:
        for record in _scan(sources, new, found, counting=not searched):
            if record.raw in seen or not _belongs(record, wanted, requests, traces):
                continue
            if len(found.records) == MOST_RECORDS:
                found.is_cut = True
                break
            seen.add(record.raw)
            if record.time is None:
                found.undated += 1
            else:
                found.records.append(record)
        searched.update(new)
        requests |= _ids(found.records, "request_id")
        traces |= _ids(found.records, "trace_id")
    found.records.sort(key=lambda record: record.time or 0.0)
    return found


def _scan(
    sources: Sequence[Source], ids: Sequence[str], found: Found, *, counting: bool
) -> Iterator[Record]:
    """Yield the records whose lines hold one of *ids* anywhere."""
    needles = [needle(one) for one in ids]

    def holds(data: bytes) -> bool:
        return any(one in data for one in needles)

    for source in sources:
        for block in source.blocks():
            if counting:
                found.not_json += lines_not_json(block)
            for line in filter(holds, block.split(b"\n") if holds(block) else ()):
                record = parse_record(line)
                if record is not None:
                    yield record


def _belongs(record: Record, wanted: str, requests: set[str], traces: set[str]) -> bool:
    """Say whether a record is of the request; a trace decides where there is one.

    A request ID that a client sent again in another trace leads nowhere else.
    """
    request_id, trace_id = record.text("request_id"), record.text("trace_id")
    return request_id == wanted or (trace_id in traces if trace_id else request_id in requests)


def _ids(records: Sequence[Record], name: str) -> set[str]:
    return {record.text(name) for record in records} - {""}
