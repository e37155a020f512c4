"""How many retries an upstream may cost, as a value and as what threads share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_resilience.policies.retry_budget import RetryBudget, RetryBudgets, Tokens
from flask_resilience.testing import FakeClock
from tests.servers import run_python

FORK = """
import os
from flask_resilience.clock import SYSTEM_CLOCK
from flask_resilience.policies.retry_budget import RetryBudgets

budgets = RetryBudgets(SYSTEM_CLOCK)
budget = budgets.budget("a")
budget.spend()
budgets._lock.acquire()
budget._lock.acquire()
child = os.fork()
if not child:
    print(budgets.budget("a").spend(), budgets.budget("a").left, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def spend_all(budget):
    """Pay for retries until there is nothing left, and return how many there were."""
    spent = 0
    while budget.spend():
        spent += 1
    return spent


@pytest.mark.parametrize(
    ("before", "step", "after"),
    [
        pytest.param(Tokens(5, 100), lambda t: t.earn(0.2, 100), 5.2, id="a call earns its share"),
        pytest.param(Tokens(5, 100), lambda t: t.earn(0.2, 103), 8.2, id="quiet seconds earn"),
        pytest.param(Tokens(5, 100), lambda t: t.earn(0.2, 999), 10.2, id="quiet fills up to ten"),
        pytest.param(Tokens(50, 0), lambda t: t.earn(0.2, 999), 50.2, id="quiet takes nothing"),
        pytest.param(Tokens(99.9, 0), lambda t: t.earn(0.2, 0), 100, id="a hundred is the most"),
        pytest.param(Tokens(5, 110), lambda t: t.earn(0.2, 105), 5.2, id="a wait is not quiet"),
        pytest.param(Tokens(1, 0), lambda t: t.spend(), 0, id="a retry costs one"),
        pytest.param(Tokens(5, 0), lambda t: t.disturb(7).earn(0, 7), 5, id="an outage is no rest"),
    ],
)
def test_step(before, step, after):
    """Each step leaves exactly so many tokens."""
    assert step(before).count == pytest.approx(after)


def test_less_than_a_token_pays_for_nothing():
    """A retry costs a whole token; five shares of 0.2 are one, whatever rounding says."""
    assert Tokens(0.9).spend() is None
    tokens = Tokens(0.0)
    for _ in range(5):
        tokens = tokens.earn(0.2, 0.0)
    assert tokens.spend() is not None


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["earn", "disturb", "spend"]), st.floats(0, 30)), max_size=60
    )
)
def test_tokens_stay_between_nothing_and_a_hundred(steps):
    """Whatever is done in whatever order, there are between 0 and 100 tokens."""
    clock = FakeClock()
    budget = RetryBudget(clock)
    for name, seconds in steps:
        clock.advance(seconds)
        {"earn": lambda: budget.earn(0.2), "disturb": budget.disturb, "spend": budget.spend}[name]()
        assert 0 <= budget.left <= 100


def test_a_new_upstream_has_ten_retries():
    """There are ten retries to spare at the start, and no more without calls or rest."""
    assert spend_all(RetryBudget(FakeClock())) == 10


def test_seconds_of_an_outage_earn_nothing():
    """Calls that fail one after the other, each with a wait, have their share and no more."""
    clock = FakeClock()
    budget = RetryBudget(clock)
    retries = 0
    for _ in range(1000):
        budget.earn(0.2)
        clock.advance(5)
        budget.disturb()
        while budget.spend():
            retries += 1
            budget.disturb(2)
            clock.advance(7)
            budget.disturb()
    assert 200 <= retries <= 215


def test_threads_spend_no_token_twice():
    """Sixteen threads at once pay for exactly as many retries as there are."""
    budget = RetryBudget(FakeClock())
    for _ in range(450):
        budget.earn(0.2)
    with ThreadPoolExecutor(16) as pool:
        spent = sum(pool.map(lambda _: spend_all(budget), range(16)))
    assert spent == 100


def test_each_upstream_has_its_own():
    """What one upstream costs is not taken from another, and stays known."""
    budgets = RetryBudgets(FakeClock())
    spend_all(budgets.budget("a"))
    assert (budgets.budget("a").left, budgets.budget("b").left) == (0, 10)


def test_there_are_never_too_many():
    """Past the capacity that of the first upstream is forgotten."""
    budgets = RetryBudgets(FakeClock(), capacity=2)
    for upstream in "abc":
        spend_all(budgets.budget(upstream))
    assert [budgets.budget(one).left for one in "cba"] == [0, 0, 10]


def test_forked_process_has_budgets_of_its_own():
    """A child spends from full budgets, and waits for no lock that was held at the fork."""
    assert run_python(FORK, timeout=30) == "True 9.0\n"
