"""What the answer says of limits: ``RateLimit`` and ``RateLimit-Policy``, or their forerunners.

Source: draft-ietf-httpapi-ratelimit-headers-10; RFC 9651, section 3.1, for the notation.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from ..policies.quota import GRACE, Quota, Standing

Headers: TypeAlias = "dict[str, str]"


class Told(NamedTuple):
    """One quota as a client is told of it.

    :param policy: Its name, of ASCII without quotes and backslashes.
    """

    policy: str
    quota: Quota
    standing: Standing

    @property
    def remaining(self) -> int:
        """Return how much is left of it."""
        left = self.quota.amount - self.standing.used
        return left if left > 0 else 0

    @property
    def reset(self) -> int:
        """Return in how many seconds there will be more: whole ones, rounded up."""
        seconds = self.standing.wait or self.standing.reset
        return self.quota.window if seconds == math.inf else math.ceil(seconds - GRACE)


def draft_headers(told: Iterable[Told]) -> Headers:
    """Return the fields of the draft.

    >>> draft_headers([Told("app: 10 per 1 minute", Quota(10, 60), Standing(3, 41.5, 0.0))])[
    ...     "RateLimit"
    ... ]
    '"app: 10 per 1 minute";r=7;t=42'
    """
    policies, states = [], []
    for one in told:
        amount, window = one.quota
        policies.append(f'"{one.policy}";q={amount};w={window}')
        states.append(f'"{one.policy}";r={one.remaining};t={one.reset}')
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}


def legacy_headers(told: Iterable[Told]) -> Headers:
    """Return the fields that many clients know, of the quota of which the least is left."""
    tightest = min(told, key=lambda one: one.remaining)
    return {
        "X-RateLimit-Limit": str(tightest.quota.amount),
        "X-RateLimit-Remaining": str(tightest.remaining),
        "X-RateLimit-Reset": str(math.ceil(time.time()) + tightest.reset),
    }


def both_headers(told: Iterable[Told]) -> Headers:
    """Return the fields of the draft, and those before it."""
    told = list(told)
    return draft_headers(told) | legacy_headers(told)


HEADERS: dict[str, Callable[[Iterable[Told]], Headers]] = {
    "draft": draft_headers,
    "legacy": legacy_headers,
    "both": both_headers,
    "off": lambda told: {},
}
