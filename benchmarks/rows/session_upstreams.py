"""One GET while an app knows one upstream, and while it knows as many as it ever keeps."""

from __future__ import annotations

from flask_resilience.circuits.registry import MOST_CIRCUITS

from ..callers import ours_knowing
from ..row import MICROSECONDS, Budget, Measure, Row, Variant
from .session import calling

FLAT = 1.1


def session_upstreams() -> Row:
    """Return the row: the same upstream is called, and others have been before."""
    few, many = (f"{upstreams:,} known" for upstreams in (1, MOST_CIRCUITS))
    return Row(
        title="session.get, by the number of known upstreams",
        unit=MICROSECONDS,
        reference=few,
        variants=(
            Variant(few, calling(ours_knowing(1))),
            Variant(many, calling(ours_knowing(MOST_CIRCUITS))),
        ),
        budgets=(Budget(many, FLAT, Measure.RATIO, few),),
        batch_seconds=0.1,
    )
