"""Which trace a request or a call belongs to, and the two headers that carry it on.

Pure but for the making of IDs: text in, values out. It knows neither Flask nor requests.

Source: W3C Trace Context, Level 2.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
SAMPLED, RANDOM = 1, 2
"""The flags there are: the caller may have recorded it; the trace ID was drawn at random."""
MOST_MEMBERS = 32
LONGEST_STATE = 2048
"""Characters of ``tracestate`` that are handed on; the standard asks for at least 512."""
LARGE_MEMBER = 128

_TRACEPARENT = re.compile(
    r"\A(?P<version>(?!ff)[0-9a-f]{2})"
    r"-(?P<trace_id>(?!0{32})[0-9a-f]{32})"
    r"-(?P<span_id>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-[^,]*)?\Z"
)
_MEMBER = re.compile(
    r"\A(?P<key>[a-z0-9][a-z0-9_*/@-]{0,255})="
    r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]\Z"
)


class Span(NamedTuple):
    """One operation of a trace: a request that is served, an attempt, or a call outside a request.

    :param trace_id: 32 hexadecimal digits.
    :param span_id: 16 hexadecimal digits.
    :param parent_span_id: The operation that brought it about; ``None`` where a trace begins.
    :param flags: :data:`SAMPLED` and :data:`RANDOM`, or neither.
    :param state: What other tracing systems have to hand on; empty for nothing.
    """

    trace_id: str
    span_id: str
    parent_span_id: str | None = None
    flags: int = SAMPLED | RANDOM
    state: str = ""

    @property
    def traceparent(self) -> str:
        """Return the header that names this span as the parent.

        >>> Span("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7").traceparent
        '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03'
        """
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def child(self) -> Span:
        """Return a new span that this one brings about."""
        return Span(self.trace_id, os.urandom(8).hex(), self.span_id, self.flags, self.state)


def begin_trace() -> Span:
    """Return the first span of a new trace.

    It is sampled, as its log lines record it; else upstreams that go by the flag would not trace
    what we ask of them.
    """
    return Span(os.urandom(16).hex(), os.urandom(8).hex())


def parse_traceparent(value: str) -> Span | None:
    """Return the span of whoever sent the header, or ``None`` if the trace must begin anew.

    :param value: As WSGI gives it: a header that is repeated comes joined by commas, and is
        malformed. Of a later version, what is known of the first one is read.

    >>> parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").span_id
    '00f067aa0ba902b7'
    >>> parse_traceparent("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01") is None
    True
    """
    found = _TRACEPARENT.match(value.strip(" \t"))
    if found is None or (found["version"] == "00" and found["more"] is not None):
        return None
    flags = int(found["flags"], 16) & (SAMPLED | RANDOM)  # others must be sent as zero
    return Span(found["trace_id"], found["span_id"], flags=flags)


def parse_tracestate(value: str) -> str:
    """Return what is to be handed on of the header; nothing if any of it is malformed.

    Of members with one key the first stays, which is the latest. What is too long loses whole
    members: large ones first, then from the end.

    :param value: As WSGI gives it, several headers joined by commas.

    >>> parse_tracestate("congo=t61 , ,rojo=1,congo=2")
    'congo=t61,rojo=1'
    >>> parse_tracestate("congo=t61,Rojo=1")
    ''
    """
    members = [one for one in map(_trimmed, value.split(",")) if one]
    if len(members) > MOST_MEMBERS:
        return ""
    kept: dict[str, str] = {}
    for member in members:
        found = _MEMBER.match(member)
        if found is None:
            return ""
        kept.setdefault(found["key"], member)
    return ",".join(_shortened(list(kept.values())))


def _trimmed(text: str) -> str:
    return text.strip(" \t")


def _shortened(members: list[str]) -> list[str]:
    while sum(map(len, members)) + len(members) - 1 > LONGEST_STATE:
        large = [one for one in members if len(one) > LARGE_MEMBER]
        members.remove((large or members)[-1])
    return members
