"""The tree of a request as text and as JSON, with offsets from its beginning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .output import Output, pairs, visible
from .record import Record
from .tree import Node

UNICODE = ("├─ ", "└─ ", "│  ", "   ")
ASCII = ("|- ", "`- ", "|  ", "   ")


def tree_lines(roots: Sequence[Node], output: Output) -> Iterator[str]:
    """Yield the lines of all trees: offset and duration in milliseconds, branch, what happened."""
    first = first_begin(roots)
    width = len(f"{(max(n.begin for root in roots for n in root.walk()) - first) * 1000:.1f}")
    branches = UNICODE if _can_say(UNICODE, output.encoding) else ASCII
    for root in roots:
        for node, branch in _branches(root, branches):
            offset = f"{(node.begin - first) * 1000:{width}.1f} ms"
            yield f"{offset}  {branch}{_told(node, output)}"


def heading(roots: Sequence[Node], output: Output) -> str:
    """Return what was found: IDs, services, lines and the whole duration."""
    nodes = [node for root in roots for node in root.walk()]
    requests = [node for node in nodes if node.kind == "request"]
    services = {node.names["service"] for node in requests}
    lines = sum(node.record is not None for node in nodes)
    taken = (max(node.end for node in nodes) - first_begin(roots)) * 1000
    ids = [
        f"{word} {visible(one)}"
        for word, name in (("request", "request_id"), ("trace", "trace_id"))
        for one in dict.fromkeys(node.names[name] for node in requests if node.names[name])
    ]
    counts = f"{_counted(len(services), 'service')}, {_counted(lines, 'line')}, {taken:.1f} ms"
    return output.paint(f"{', '.join(ids)}: {counts}", "white", bold=True)


def tree_json(roots: Sequence[Node]) -> dict[str, Any]:
    """Return all trees for machines, offsets in milliseconds."""
    first = first_begin(roots)
    return {"requests": [_node_json(root, first) for root in roots]}


def first_begin(roots: Sequence[Node]) -> float:
    """Return when the first of all began, in seconds since the epoch."""
    return min(node.begin for root in roots for node in root.walk())


def _node_json(node: Node, first: float) -> dict[str, Any]:
    names = {name: value for name, value in node.names.items() if value}
    return {
        "kind": node.kind,
        "offset_ms": round((node.begin - first) * 1000, 3),
        "duration_ms": round((node.end - node.begin) * 1000, 3),
        **names,
        "missing": node.notes,
        "line": None if node.record is None else node.record.fields,
        "children": [_node_json(child, first) for child in node.children],
    }


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _branches(root: Node, branches: Sequence[str]) -> Iterator[tuple[Node, str]]:
    """Yield each node and what is drawn before it."""
    fork, last, beside, nothing = branches
    yield root, ""
    waiting = [(child, "") for child in reversed(root.children)]
    lasts = {id(root.children[-1])} if root.children else set()
    while waiting:
        node, before = waiting.pop()
        is_last = id(node) in lasts
        yield node, before + (last if is_last else fork)
        below = before + (nothing if is_last else beside)
        waiting += [(child, below) for child in reversed(node.children)]
        lasts |= {id(one) for one in node.children[-1:]}


def _told(node: Node, output: Output) -> str:
    say = TELLING[node.kind]
    text = say(node, node.record or Record({}, b""))
    if _went_wrong(node):
        text = output.paint(text, "red")
    elif node.kind in ("wait", "circuit"):
        text = output.paint(text, "yellow")
    notes = [output.paint(f"({visible(note)})", "magenta") for note in node.notes]
    return " ".join([text, *notes])


def _went_wrong(node: Node) -> bool:
    record = node.record
    return record is not None and record.text("level") in ("warning", "error", "critical")


def _request(node: Node, record: Record) -> str:
    service = visible(node.names["service"] or "a service")
    if node.record is None:
        return f"{service}: request" if node.names["request_id"] else f"{service}: no request"
    where = record.text("http_route") or record.text("url_path")
    return f"{service}: {_words(record, 'http_request_method')} {visible(where)} -> " + _result(
        record, "http_response_status_code", "outcome", "error_type"
    )


def _call(node: Node, record: Record) -> str:
    upstream = visible(node.names["upstream"])
    if node.record is None:
        return f"call to {upstream}"
    made = record.text("attempts")
    attempts = f"{visible(made)} attempt{'' if made == '1' else 's'}"
    why = record.text("stop_reason")
    why = f" ({visible(why)})" if why else ""
    return f"call to {upstream} -> {_result(record, 'outcome')}{why}, {attempts}"


def _attempt(node: Node, record: Record) -> str:
    number = visible(node.names["attempt"])
    if node.record is None:
        return f"attempt {number}"
    of = f" of {_words(record, 'max_attempts')}" if "max_attempts" in record.fields else ""
    circuit = record.text("circuit_state")
    after = f", circuit {visible(circuit)}" if circuit not in ("", "closed") else ""
    request = _words(record, "http_request_method", "url_full")
    answer = _result(record, "http_response_status_code", "error_type")
    return f"attempt {number}{of}: {request} -> {answer}{after}"


def _wait(node: Node, record: Record) -> str:
    asked = record.number("retry_after_ms")
    after = f", Retry-After {asked:.0f} ms" if asked is not None else ""
    taken = (node.end - node.begin) * 1000
    return f"wait {taken:.1f} ms after {_words(record, 'reason')}{after}"


def _circuit(node: Node, record: Record) -> str:
    states = f"{_words(record, 'from_state')} -> {_words(record, 'to_state')}"
    return f"circuit {_words(record, 'upstream')}: {states}, {_words(record, 'reason')}"


def _line(node: Node, record: Record) -> str:
    return " ".join(filter(None, (_words(record, "level", "event"), pairs(record))))


def _result(record: Record, *names: str) -> str:
    """Return how it ended, and how long it took."""
    taken = record.number("duration_ms")
    ended = _words(record, *names)
    return ended if taken is None else f"{ended}, {taken:.1f} ms"


def _words(record: Record, *names: str) -> str:
    return " ".join(visible(record.text(name)) for name in names if record.text(name))


TELLING: dict[str, Callable[[Node, Record], str]] = {
    "request": _request,
    "call": _call,
    "attempt": _attempt,
    "wait": _wait,
    "circuit": _circuit,
    "line": _line,
}


def _can_say(words: Sequence[str], encoding: str) -> bool:
    try:
        "".join(words).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
