"""The span of OpenTelemetry that is active, if the app uses OpenTelemetry.

It is no dependency and never imported: where nobody has imported it, no span can be active.
"""

from __future__ import annotations

import sys

from .trace_context import RANDOM, SAMPLED, Span


def active_span() -> Span | None:
    """Return OpenTelemetry's current span, or ``None`` if there is no valid one."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None or not hasattr(api, "get_current_span"):  # while it is being imported
        return None
    active = api.get_current_span()
    known = active.get_span_context()
    if not known.is_valid:
        return None
    parent = getattr(active, "parent", None)  # of a span that records; others do not tell
    return Span(
        trace_id=f"{known.trace_id:032x}",
        span_id=f"{known.span_id:016x}",
        parent_span_id=None if parent is None else f"{parent.span_id:016x}",
        flags=known.trace_flags & (SAMPLED | RANDOM),
        state=known.trace_state.to_header(),
    )
