"""What limits counted for one request: kept until its answer decides what stays counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from flask import Response

from ..counters.counting import Counted
from .headers import Told
from .placed_rule import PlacedRule
from .rule import Parsed


class Entry(NamedTuple):
    """One rule that a request was counted by."""

    placed: PlacedRule
    parsed: Parsed
    counted: Counted

    def told(self) -> list[Told]:
        """Return how each quota stands; none if nobody could count."""
        name, parsed = self.placed.name, self.parsed
        each = zip(parsed.texts, parsed.quotas, self.counted.decision.standings)  # noqa: B905  # ends first if nobody could
        return [Told(f"{name}: {text}", quota, standing) for text, quota, standing in each]


class Tally:
    """The entries of one request.

    :param client: What its client is counted as.
    :param ahead: Rules it will be counted by if it comes as far as its view.
    """

    __slots__ = ("ahead", "client", "entries", "retry_after")

    def __init__(self, client: str, ahead: tuple[PlacedRule, ...]) -> None:
        self.client, self.ahead = client, ahead
        self.entries: list[Entry] = []
        self.retry_after: float | None = None

    def told(self) -> list[Told]:
        """Return how each quota stands that the request was counted by, each by its own name."""
        told = [one for entry in self.entries for one in entry.told()]
        return told if len(self.entries) == 1 else list(_named_apart(told))

    def give_back(self) -> None:
        """Take back all that was granted, and forget it."""
        granted = [entry for entry in self.entries if entry.counted.decision.granted]
        self.entries = [entry for entry in self.entries if not entry.counted.decision.granted]
        for entry in granted:
            entry.counted.given_back()

    def settle(self, response: Response) -> None:
        """Take back what is not to be counted of a request with this response.

        Flask may come with another response, if a function of the app's fails after this one.
        """
        for number, entry in enumerate(self.entries):
            deduct_when = entry.placed.rule.deduct_when
            if deduct_when is None or not entry.counted.decision.granted:
                continue
            if not deduct_when(response):
                self.entries[number] = entry._replace(counted=entry.counted.given_back())


def _named_apart(told: Iterable[Told]) -> Iterator[Told]:
    seen: Counter[str] = Counter()
    for one in told:
        seen[one.policy] += 1
        number = seen[one.policy]
        yield one if number == 1 else one._replace(policy=f"{one.policy} ({number})")
