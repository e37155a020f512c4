"""One key's counter under a rule, held as a storage would, and histories of claims for it."""

from __future__ import annotations

import copy

from hypothesis import strategies as st

from flask_resilience.policies.moving_window import MovingWindows
from flask_resilience.policies.quota import GRACE, Claim, Decision, Quota, Strategy
from flask_resilience.policies.window_counter import CountedWindows

EPOCH = 1_700_000_000.0
"""A time of today: sums of it and whole seconds are exact."""
YEAR = 365 * 86_400
RULES = {
    Strategy.FIXED_WINDOW: CountedWindows(slides=False),
    Strategy.SLIDING_WINDOW_COUNTER: CountedWindows(slides=True),
    Strategy.MOVING_WINDOW: MovingWindows(),
}
QUOTAS = st.sampled_from(
    [
        (Quota(1, 1),),
        (Quota(5, 60),),
        (Quota(2, 1), Quota(4, 20)),
        (Quota(6, 2), Quota(12, 20)),
        (Quota(9, 7), Quota(4, 20)),
        (Quota(3, 1), Quota(7, 3), Quota(20, 60)),
        (Quota(2, 1), Quota(3, YEAR)),
        (Quota(10**9, 60),),
    ]
)
PAUSES = st.sampled_from([0.0, 0.25, 1.0, 2.0, 7.0, 20.0, 60.0, 120.0, 1.5 * YEAR]) | st.integers(
    0, 25 * 1024
).map(lambda ticks: ticks / 1024)
HISTORIES = st.lists(st.tuples(PAUSES, st.integers(1, 5)), max_size=40)
"""Pauses in parts of a second that sum up exactly, and the costs of the claims after them."""


class Counting:
    """A counter that takes what its rule lets it.

    :param now: The time, which tests move on.
    """

    def __init__(self, strategy: Strategy, quotas: tuple[Quota, ...], now: float = EPOCH) -> None:
        self.rule = RULES[strategy]
        self.strategy, self.quotas, self.now = strategy, quotas, now
        self.held = None
        self.granted: list[tuple[float, int]] = []

    def claim(self, cost: int) -> Claim:
        """Return a claim of that cost."""
        return Claim(self.strategy, "a", self.quotas, cost)

    def state(self):
        """Return what the rule counts by now, apart from what is held."""
        return self.rule.at(copy.copy(self.held), self.claim(1), self.now)

    def look(self, cost: int = 1, later: float = 0.0) -> Decision:
        """Return what would become of a claim after a pause in which nothing else comes."""
        claim, now = self.claim(cost), self.now + later
        state = self.rule.at(copy.copy(self.held), claim, now)
        return Decision.on(claim, self.rule.standings(state, claim, now), now)

    def take(self, cost: int = 1) -> Decision:
        """Claim, and hold what comes of it."""
        decision = self.look(cost)
        if decision.granted:
            state = self.rule.at(self.held, self.claim(cost), self.now)
            self.held = self.rule.taken(state, self.claim(cost), self.now)
            self.granted.append((self.now, cost))
        return decision

    def give_back(self, at: float, cost: int) -> None:
        """Take a claim back that was granted *at* that time."""
        self.held = self.rule.given_back(self.held, self.claim(cost), at)
        self.granted.remove((at, cost))

    def play(self, history: list[tuple[float, int]]) -> Counting:
        """Claim after each pause."""
        for pause, cost in history:
            self.now += pause
            self.take(cost)
        return self

    def check_wait(self, cost: int) -> None:
        """Hold a claim's waits to what comes of it then, and a moment earlier."""
        decision = self.look(cost)
        for number, standing in enumerate(decision.standings):
            if standing.wait:
                earlier = self.look(cost, max(0.0, standing.wait - 3 * GRACE))
                assert earlier.standings[number].wait > 0
            assert self.look(cost, standing.wait).standings[number].wait == 0
        assert self.look(cost, decision.wait).granted
