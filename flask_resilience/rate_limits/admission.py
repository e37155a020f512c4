"""Whether a request may come in: it is counted by one rule after the other, and rejected whole."""

from __future__ import annotations

from typing import NoReturn

from flask import Request

from ..counters.counting import Counting
from ..policies.quota import Strategy
from .placed_rule import PlacedRule, PlacedRules
from .rejection import event, exception
from .suppression import Suppression
from .tally import Entry, Tally


class Admission:
    """Count requests, and reject those for which there is no room.

    :param on_storage_error: Of rules that do not say: ``fallback``, ``open`` or ``closed``.
    """

    def __init__(
        self,
        counting: Counting,
        strategy: Strategy,
        on_storage_error: str,
        suppression: Suppression,
    ) -> None:
        self._counting, self._strategy = counting, strategy
        self._on_storage_error, self._suppression = on_storage_error, suppression

    def admit(
        self, request: Request, tally: Tally, rules: PlacedRules, *, begun: bool = False
    ) -> None:
        """Count *request* by *rules*, or reject it.

        :param begun: Whether its view has begun: what the request took before stays taken then.
        :raises RateLimitExceeded: If one of them has no room for it.
        :raises ServiceUnavailable: If one that is closed then cannot be counted.
        """
        for number, placed in enumerate(rules):
            entry = self._entry(request, tally, placed)
            if entry is None:
                continue
            tally.entries.append(entry)
            if not entry.counted.decision.granted:
                if not begun:
                    tally.give_back()
                self._reject(request, tally, entry, rules[number + 1 :])

    def _entry(self, request: Request, tally: Tally, placed: PlacedRule) -> Entry | None:
        """Return what came of counting by one rule; ``None`` if it does not hold."""
        if not placed.rule.holds():
            return None
        claim, parsed = placed.claim(self._strategy, tally.client, request.method)
        if not claim.cost:
            return None
        on_error = placed.rule.on_storage_error or self._on_storage_error
        return Entry(placed, parsed, self._counting.take(claim, on_error))

    def _reject(self, request: Request, tally: Tally, entry: Entry, rest: PlacedRules) -> NoReturn:
        """Reject *request* by *entry*, and say when none of its rules would.

        :param rest: Rules it would have been counted by next.
        """
        if not entry.counted.decision.standings:
            tally.retry_after = self._counting.asked_again_in()
            raise exception(entry, tally.retry_after)
        known = {entry.placed, *rest}
        ahead = (one for one in tally.ahead if one.rule.is_plain and one not in known)
        others = [self._wait(request, tally, one) for one in (*rest, *ahead) if one.rule.holds()]
        kept = [self._counting.look(one.counted.claim).wait for one in tally.entries[:-1]]
        tally.retry_after = max(entry.counted.decision.wait, *others, *kept, 0.0)
        self._suppression.add(
            entry.counted.claim.key, event(entry, tally.retry_after, request, self._strategy)
        )
        raise exception(entry, tally.retry_after)

    def _wait(self, request: Request, tally: Tally, placed: PlacedRule) -> float:
        claim, _ = placed.claim(self._strategy, tally.client, request.method)
        return self._counting.look(claim).wait if claim.cost else 0.0
