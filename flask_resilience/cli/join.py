"""Hang the inbound requests of several services under the attempts that caused them."""

from __future__ import annotations

from collections.abc import Sequence

from .tree import Node

CLOCK_SLACK = 0.001
"""How much earlier than its attempt a request may seem to begin, in seconds."""
DEEPEST = 100
"""Requests that may hang below one another."""


def join(requests: Sequence[Node]) -> list[Node]:
    """Return the requests that no other caused; the others hang below them.

    :param requests: In the order of their beginnings.
    """
    owners = {
        id(node): request
        for request in requests
        for node in request.walk()
        if node.kind == "attempt"
    }
    attempts = [node for request in requests for node in request.walk() if node.kind == "attempt"]
    spans = {node.names["span"]: node for node in attempts if node.names["span"]}
    above: dict[int, Node] = {}
    roots = []
    for request in requests:
        by_span = spans.get(request.names["parent"])
        attempt = by_span or _by_time(request, attempts, owners)
        if attempt is None or _is_below(owners[id(attempt)], request, above):
            roots.append(request)
            continue
        above[id(request)] = owners[id(attempt)]
        attempt.children.append(request)
        if by_span is None:
            request.notes.append("joined by its time, not by a span")
    _note_missing(roots, attempts)
    return roots


def _by_time(request: Node, attempts: Sequence[Node], owners: dict[int, Node]) -> Node | None:
    """Return the attempt during which *request* began, if spans do not say otherwise."""

    def may_have_caused(attempt: Node) -> bool:
        caller = owners[id(attempt)]
        return (
            not attempt.children
            and not (attempt.names["span"] and request.names["parent"])
            and caller is not request
            and caller.begin <= request.begin
            and attempt.begin - CLOCK_SLACK <= request.begin <= attempt.end
        )

    return max(filter(may_have_caused, attempts), key=lambda one: one.begin, default=None)


def _is_below(node: Node, other: Node, above: dict[int, Node]) -> bool:
    """Say whether a request hangs below *other*, which would make a ring, or too deep."""
    at: Node | None = node
    for _ in range(DEEPEST):
        if at is None or at is other:
            return at is other
        at = above.get(id(at))
    return True


def _note_missing(roots: Sequence[Node], attempts: Sequence[Node]) -> None:
    """Say where another service's line should be; an upstream's service is known from others."""
    requests = [node for root in roots for node in root.walk() if node.kind == "request"]
    behind = {service: service for service in (node.names["service"] for node in requests)}
    for attempt in attempts:
        for request in attempt.children:
            behind[attempt.names["upstream"]] = request.names["service"]
    for attempt in attempts:
        service = behind.get(attempt.names["upstream"])
        if service and not attempt.children:
            attempt.notes.append(f"no line of {service} here")
    for root in roots:
        if root.names["parent"]:
            root.notes.append(f"no line of span {root.names['parent']}, which caused it, here")
