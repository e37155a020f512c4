"""What becomes of a request that a limit rejects: an exception, an answer, an event."""

from __future__ import annotations

import hashlib
import math
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from flask import Request
from flask_limiter import Limit, RateLimitExceeded, RequestLimit
from limits import WindowStats
from werkzeug.exceptions import HTTPException, ServiceUnavailable

from ..events import LimitExceeded
from ..inbound.problems import problem_response
from ..policies.quota import Strategy
from .tally import Entry

if TYPE_CHECKING:
    from flask_limiter import Limiter
    from flask_limiter._limits import RuntimeLimit

RATE_LIMIT_EXCEEDED = "LIM-001"
LIMIT_UNCHECKED = "LIM-002"


def exception(entry: Entry, wait: float) -> HTTPException:
    """Return what ends a rejected request, with its answer.

    :param wait: Seconds until it is worth another try; infinite if it never is.
    """
    retry_after = wait if math.isfinite(wait) else None
    if not entry.counted.decision.standings:
        return ServiceUnavailable(response=problem_response(LIMIT_UNCHECKED, retry_after))
    answer = problem_response(RATE_LIMIT_EXCEEDED, retry_after)
    return RateLimitExceeded(_runtime_limit(entry.parsed.texts[_blocking(entry)]), answer)


def event(entry: Entry, wait: float, request: Request, strategy: Strategy) -> LimitExceeded:
    """Return what is told of a rejection."""
    blocking, rule = _blocking(entry), request.url_rule
    key = entry.counted.claim.key.encode("utf-8", "surrogatepass")
    return LimitExceeded(
        policy=entry.placed.name,
        limit=entry.parsed.texts[blocking],
        window=entry.parsed.quotas[blocking].window,
        retry_after=wait if math.isfinite(wait) else None,
        route=None if rule is None else rule.rule,
        strategy=strategy.value,
        key_type="client_address" if entry.placed.rule.key is None else "key",
        key_hash=hashlib.sha256(key).hexdigest()[:16],
    )


def request_limits(limiter: Limiter, entries: list[Entry]) -> list[RequestLimit]:
    """Return *entries* as Flask-Limiter tells of limits."""
    found, now = [], time.time()
    for entry in entries:
        standings = entry.counted.decision.standings
        for item, told in zip(entry.parsed.items, entry.told(), strict=bool(standings)):
            shared = entry.placed.rule.scope is not None
            one = RequestLimit(
                limiter, item, [entry.counted.claim.key], told.standing.wait > 0, shared
            )
            one._window = WindowStats(now + told.standing.reset, told.remaining)  # noqa: SLF001  # else it asks
            found.append(one)
    return found


def _blocking(entry: Entry) -> int:
    """Return the number of the quota that takes the longest to have room."""
    standings = entry.counted.decision.standings
    return max(range(len(standings)), key=lambda number: standings[number].wait, default=0)


@lru_cache(maxsize=256)
def _runtime_limit(text: str) -> RuntimeLimit:
    return next(iter(Limit(text, key_function=str)))
