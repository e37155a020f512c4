"""Moving windows: each unit counts for one window's length and no longer."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_resilience.policies.moving_window import MovingWindows, moving_standing
from flask_resilience.policies.quota import Claim, Quota, Strategy
from tests.policies.counting import EPOCH, HISTORIES, QUOTAS, YEAR, Counting

MOVING = Strategy.MOVING_WINDOW
JITTER = st.integers(0, 5).map(lambda number: number / 1024)
LATEST = 5 / 1024


def counting_in(quotas, now=EPOCH):
    """Return a counter that nobody used."""
    return Counting(MOVING, quotas, now)


def within(granted, end, window):
    """Return what was granted in the window's length that ends with that moment."""
    return sum(cost for at, cost in granted if end - window < at <= end)


@pytest.mark.parametrize(
    ("taken", "cost", "now", "standing"),
    [
        pytest.param([], 1, 100.0, (0, 60.0, 0.0), id="nothing taken"),
        pytest.param([], 4, 100.0, (0, 60.0, 0.0), id="whole amount"),
        pytest.param([], 5, 100.0, (0, 60.0, math.inf), id="too much"),
        pytest.param([100.0, 110.0], 2, 120.0, (2, 40.0, 0.0), id="room"),
        pytest.param([100.0, 110.0], 3, 120.0, (2, 40.0, 40.0), id="oldest is in the way"),
        pytest.param([100.0, 110.0], 4, 120.0, (2, 40.0, 50.0), id="both are in the way"),
        pytest.param([100.0, 110.0], 5, 120.0, (2, 40.0, math.inf), id="too much, and used"),
        pytest.param([100.0, 110.0], 4, 159.999, (2, 0.001, 10.001), id="just before one leaves"),
        pytest.param([100.0, 110.0], 4, 160.0, (1, 10.0, 10.0), id="exactly when one leaves"),
        pytest.param([100.0, 110.0], 4, 170.0, (0, 60.0, 0.0), id="when all have left"),
        pytest.param([100.0] * 4, 1, 100.0, (4, 60.0, 60.0), id="all at one moment"),
        pytest.param([100.0] * 4, 1, 99.5, (4, 60.5, 60.5), id="a little before"),
    ],
)
def test_standing(taken, cost, now, standing):
    """A claim of four a minute waits until enough units have left."""
    used, reset, wait = standing
    expected = (used, pytest.approx(reset), pytest.approx(wait))
    assert moving_standing(taken, Quota(4, 60), cost, now) == expected


@pytest.mark.parametrize("window", [pytest.param(1, id="second"), pytest.param(YEAR, id="year")])
@pytest.mark.parametrize("amount", [pytest.param(1, id="one"), pytest.param(10, id="ten")])
def test_wait_is_true_at_the_edges(amount, window):
    """From one a year to ten a second, who comes after the wait is granted the claim."""
    counting = counting_in((Quota(amount, window),))
    assert counting.take(amount).granted
    for cost in {1, amount}:
        assert not counting.look(cost).granted
        counting.check_wait(cost)
    assert counting.look(amount + 1).wait == math.inf


def test_large_amount_costs_what_is_taken():
    """Of a billion, only the units that were taken are remembered."""
    counting = counting_in((Quota(10**9, 60),))
    assert counting.take(3).standings[0].used == 3
    assert counting.look(10**9).wait == pytest.approx(60)
    assert counting.look(10**9 - 3).granted


@given(QUOTAS, HISTORIES)
def test_claims_are_judged_by_all_that_was_granted(quotas, history):
    """Over any history, a claim is granted if what was within each window leaves room for it."""
    counting = counting_in(quotas)
    for pause, cost in history:
        counting.now += pause
        used = [within(counting.granted, counting.now, quota.window) for quota in quotas]
        both = zip(used, quotas, strict=True)
        fits = all(one + cost <= quota.amount for one, quota in both)
        assert [one.used for one in counting.look(quotas[0].amount + 1).standings] == used
        assert counting.take(cost).granted == fits


@given(QUOTAS, HISTORIES)
def test_no_span_holds_more_than_the_amount(quotas, history):
    """However the window's length is laid over a history, no more was granted in it."""
    granted = counting_in(quotas).play(history).granted
    for at, _ in granted:  # no span holds more than the one that ends with a claim
        for quota in quotas:
            assert within(granted, at, quota.window) <= quota.amount


@given(QUOTAS, HISTORIES, st.data())
def test_wait_is_true(quotas, history, data):
    """Who comes after the wait is granted the claim if nothing else came; no wait is too long."""
    counting = counting_in(quotas).play(history)
    counting.check_wait(data.draw(st.integers(1, min(quota.amount for quota in quotas))))


@given(QUOTAS, HISTORIES)
def test_reset_is_when_the_oldest_leaves(quotas, history):
    """After the reset less counts than before, and a moment earlier as much."""
    counting = counting_in(quotas).play(history)
    too_much = quotas[0].amount + 1
    for number, standing in enumerate(counting.look(too_much).standings):
        if standing.used:
            then = counting.look(too_much, standing.reset).standings[number]
            before = counting.look(too_much, standing.reset - 0.0005).standings[number]
            assert then.used < before.used == standing.used


@given(QUOTAS, HISTORIES, st.integers(1, 5))
def test_giving_back_at_once_undoes(quotas, history, cost):
    """Who gives back what was just granted leaves the quotas as they stood."""
    counting = counting_in(quotas).play(history)
    before = counting.look()
    if counting.take(cost).granted:
        counting.give_back(counting.now, cost)
    assert counting.look() == before


@given(QUOTAS, HISTORIES, st.lists(st.integers(0, 40)))
def test_giving_back_later_is_as_if_never_granted(quotas, history, returned):
    """Whatever is given back, and when, the rest counts as it did."""
    counting = counting_in(quotas)
    for (pause, cost), number in zip(history, returned, strict=False):
        counting.now += pause
        counting.take(cost)
        if number < len(counting.granted):
            counting.give_back(*counting.granted[number])
        used = [one.used for one in counting.look(quotas[0].amount + 1).standings]
        assert used == [within(counting.granted, counting.now, one.window) for one in quotas]


@pytest.mark.parametrize(
    ("at", "cost", "left"),
    [
        pytest.param(110.0, 1, [100.0, 110.0, 120.0], id="one of two"),
        pytest.param(110.0, 2, [100.0, 120.0], id="both"),
        pytest.param(110.0, 3, [100.0, 120.0], id="never another's"),
        pytest.param(115.0, 1, [100.0, 110.0, 110.0, 120.0], id="none of that time"),
        pytest.param(40.0, 1, [100.0, 110.0, 110.0, 120.0], id="long gone"),
    ],
)
def test_giving_back(at, cost, left):
    """Units of exactly that time are given back, and no others."""
    claim = Claim(MOVING, "a", (Quota(9, 60),), cost)
    assert MovingWindows().given_back([100.0, 110.0, 110.0, 120.0], claim, at) == left


def test_units_are_kept_for_the_longest_window():
    """What the shorter window has forgotten the longer one still counts."""
    counting = counting_in((Quota(2, 1), Quota(4, 20))).play([(0.0, 2), (1.0, 1)])
    assert [one.used for one in counting.look(3).standings] == [1, 3]
    counting.now += 19.5
    assert [one.used for one in counting.look(3).standings] == [0, 1]
    assert counting.state() == [EPOCH + 1.0]


@given(QUOTAS, st.lists(st.tuples(HISTORIES, JITTER), max_size=8))
def test_time_that_goes_back_a_little_breaks_nothing(quotas, histories):
    """Claims told a few milliseconds late stay in order, and exceed no amount in a window.

    The window is shorter by those milliseconds: what has left it does not come back.
    """
    counting = counting_in(quotas)
    for history, late in histories:
        counting.play(history).now -= late
        counting.take()
        assert counting.held is None or counting.held == sorted(counting.held)
        counting.check_wait(1)
        counting.now += late
    for at, _ in counting.granted:
        for quota in quotas:
            assert within(counting.granted, at, quota.window - LATEST) <= quota.amount


def test_unit_told_late_is_given_back_alone():
    """What was granted a little before the last unit is given back without that one."""
    counting = counting_in((Quota(9, 60),))
    counting.take()
    counting.now -= 0.005
    counting.take()
    counting.give_back(counting.now, 1)
    assert counting.held == [EPOCH]
