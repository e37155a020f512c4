"""One request as a tree: inbound requests, their calls, attempts, waits and circuit changes.

An inbound request hangs under the attempt whose ``span_id`` is its ``parent_span_id``. Where spans
are missing, it hangs under the attempt during which it began. What should be there and is not is
said at the place where it is missing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

from .record import Record

REQUEST = "http.server.request.finish"
ATTEMPT, WAIT, CALL = "http.client.attempt", "http.client.retry", "http.client.finish"
CIRCUIT = "circuit_breaker.transition"
KINDS = {REQUEST: "request", ATTEMPT: "attempt", WAIT: "wait", CALL: "call", CIRCUIT: "circuit"}
MOST_ATTEMPTS = 100
"""Attempts of one call that are told although they have no line."""

Owner: TypeAlias = tuple[str, ...]


@dataclass(slots=True)
class Node:
    """Something that happened, and what it led to.

    :param kind: ``request``, ``call``, ``attempt``, ``wait``, ``circuit`` or ``line``.
    :param begin: In seconds since the epoch, as far as lines tell.
    :param record: The line that tells of it; ``None`` if it is missing.
    :param names: What is known of it beside its line: service, upstream, number, parent.
    :param notes: What is missing here, in words.
    """

    kind: str
    begin: float
    end: float
    record: Record | None = None
    names: dict[str, str] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.children)


def requests_of(records: Sequence[Record]) -> list[Node]:
    """Return a tree for each inbound request in *records*, which are in the order of time."""
    owner = _Owners(records)
    groups: dict[Owner, list[Record]] = defaultdict(list)
    for record in records:
        groups[owner(record)].append(record)
    parts = [part for group in groups.values() for part in _by_finish(group)]
    return sorted((_request(part) for part in parts), key=lambda node: node.begin)


class _Owners:
    """Which inbound request each record belongs to: by its span, else by ID and process."""

    def __init__(self, records: Sequence[Record]) -> None:
        others = [one for one in records if one.event != ATTEMPT and one.text("span_id")]
        self._of_call = {one.text("call_id"): one.text("span_id") for one in others}
        self._of_call.pop("", None)
        self._of_parent = {one.text("parent_span_id"): one.text("span_id") for one in others}
        self._spans = {one.text("span_id") for one in others}

    def __call__(self, record: Record) -> Owner:
        """Return what is the same for all records of one inbound request."""
        span = record.text("span_id")
        if record.event == ATTEMPT:  # its own span is that of the exchange
            span = self._of_call.get(record.text("call_id"), "") or self._around(record)
        if span:
            return (record.text("service"), span)
        return tuple(record.text(name) for name in ("service", "pid", "request_id"))

    def _around(self, attempt: Record) -> str:
        parent = attempt.text("parent_span_id")
        return parent if parent in self._spans else self._of_parent.get(parent, parent)


def _by_finish(records: list[Record]) -> list[list[Record]]:
    """Part records without spans: each finish line ends one of several requests with one ID."""
    finishes = [one.time or 0.0 for one in records if one.event == REQUEST]
    if len(finishes) < 2 or records[0].text("span_id"):
        return [records]
    parts: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        earlier = bisect_left(finishes, record.time or 0.0)
        parts[min(earlier, len(finishes) - 1)].append(record)
    return list(parts.values())


def _request(records: list[Record]) -> Node:
    calls: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        calls[record.text("call_id")].append(record)
    loose = [_leaf(one) for one in calls.pop("", []) if one.event != REQUEST]
    children = [_call(part) for part in calls.values()]
    children += [node for node in loose if not _adopted(node, children)]
    finish = next((one for one in records if one.event == REQUEST), None)
    node = _around("request", finish, children)
    parents = (one.text("parent_span_id") for one in records if one.event != ATTEMPT)
    first = records[0]
    node.names = {"service": first.text("service"), "request_id": first.text("request_id")}
    node.names["trace_id"] = first.text("trace_id")
    node.names["parent"] = next(filter(None, parents), "")
    if finish is None and node.names["request_id"]:
        node.notes.append("no finish line of this request here")
    return node


def _call(records: list[Record]) -> Node:
    finish = next((one for one in records if one.event == CALL), None)
    node = _around("call", finish, [_leaf(one) for one in records if one.event != CALL])
    upstream = next((one.text("upstream") for one in reversed(records)), "")
    node.names = {"upstream": upstream, "call_id": records[0].text("call_id")}
    node.children += _attempts_without_line(node)
    node.children.sort(key=lambda child: child.begin)
    if finish is None:
        node.notes.append("no finish line of this call here")
    return node


def _around(kind: str, finish: Record | None, children: list[Node]) -> Node:
    """Return the node of a finish line, or of what its children tell where that is missing."""
    if finish is not None:
        node = _leaf(finish)
        node.children = children
    else:
        begin = min(child.begin for child in children)
        node = Node(kind, begin, max(child.end for child in children), children=children)
    node.children.sort(key=lambda child: child.begin)
    return node


def _leaf(record: Record) -> Node:
    """Return the node of one line, which is written at the end of what it tells of, or before."""
    kind, written = KINDS.get(record.event, "line"), record.time or 0.0
    begin = end = written
    if kind in ("request", "call", "attempt"):
        begin = written - (record.number("duration_ms") or 0.0) / 1000
    elif kind == "wait":
        end = written + (record.number("wait_ms") or 0.0) / 1000
    names = {"service": record.text("service")}
    if kind in ("attempt", "wait", "circuit"):
        names |= {name: record.text(name) for name in ("upstream", "attempt", "next_attempt")}
        names["span"] = record.text("span_id") if kind == "attempt" else ""
    return Node(kind, begin, end, record, names)


def _adopted(node: Node, calls: list[Node]) -> bool:
    """Put a circuit's change under the call during which it came, and say whether there is one."""
    for call in calls if node.kind == "circuit" else ():
        upstreams = {one.names.get("upstream") for one in call.walk()}
        if node.names["upstream"] in upstreams and call.begin <= node.begin <= call.end:
            call.children.append(node)
            call.children.sort(key=lambda child: child.begin)
            return True
    return False


def _attempts_without_line(call: Node) -> Iterator[Node]:
    """Yield a node for each attempt of which there is no line; at level info good ones have none.

    It lies between the wait before it and the next thing that is known.
    """
    shown = [one for one in call.children if one.kind == "attempt"]
    waits = {one.names["next_attempt"]: one for one in call.children if one.kind == "wait"}
    made = None if call.record is None else call.record.number("attempts")
    if made is None:
        made = max([int(number) for number in waits if number.isdecimal()], default=0)
    taken = {one.names["attempt"] for one in shown}
    free = (number for number in map(str, count(1)) if number not in taken)
    for number, _ in zip(free, range(min(int(made) - len(shown), MOST_ATTEMPTS)), strict=False):
        before = waits.get(number)
        begin = call.begin if before is None else before.end
        end = min((one.begin for one in call.children if one.begin > begin), default=call.end)
        names = {"upstream": call.names["upstream"], "attempt": number, "span": ""}
        yield Node("attempt", begin, end, None, names, notes=["no line of this attempt here"])
