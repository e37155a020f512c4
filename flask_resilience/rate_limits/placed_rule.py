"""A rule where it holds: for all routes, for a view, or for all that have one scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..policies.quota import Claim, Strategy
from .key import joined
from .marks import Mark
from .rule import LimitRule, Parsed, verb_of


@dataclass(frozen=True, slots=True, eq=False)
class PlacedRule:
    """A rule and where it holds.

    :param place: What all have in common that count together.
    :param name: Of its quotas, for clients and for the log.
    """

    rule: LimitRule
    place: str
    name: str

    def claim(self, strategy: Strategy, client: str, verb: str) -> tuple[Claim, Parsed]:
        """Return what a request of *client* takes, and how the quotas read that it takes it of.

        :raises ConfigurationError: If a function of the rule gives what it must not.
        """
        rule, parsed = self.rule, self.rule.parsed()
        who = client if rule.key is None else joined("key", rule.key())
        place = f"{self.place}/{verb_of(verb)}" if rule.per_method else self.place
        key = f"{place}/{who}/{parsed.suffix}"
        return Claim(strategy, key, parsed.quotas, rule.price()), parsed


PlacedRules: TypeAlias = tuple[PlacedRule, ...]


def place(mark: Mark, endpoint: str) -> PlacedRules:
    """Return the rules of *mark* where they hold for *endpoint*."""
    rules = [_place(mark, endpoint, number) for number in range(len(mark.rules))]
    return tuple(sorted(rules, key=lambda one: one.rule.key is not None))  # a victim's key last


def _place(mark: Mark, endpoint: str, number: int) -> PlacedRule:
    rule = mark.rules[number]
    if rule.scope is not None:
        return PlacedRule(rule, joined("scope", rule.scope), rule.scope)
    name = f"{mark.kind} {number + 1}" if number else mark.kind
    return PlacedRule(rule, joined("view", endpoint, mark.name, number), name)
