"""Fixed windows and those that slide: what counts, until when, and what is given back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_resilience.policies.quota import GRACE, Claim, Decision, Quota, Standing, Strategy
from flask_resilience.policies.window_counter import CountedWindows, WindowCounter
from tests.policies.counting import EPOCH, HISTORIES, QUOTAS, YEAR, Counting

FIXED, SLIDING = Strategy.FIXED_WINDOW, Strategy.SLIDING_WINDOW_COUNTER
COUNTED = st.sampled_from([FIXED, SLIDING])
MILLISECONDS = st.integers(-5, 5).map(lambda number: number / 1024)
BILLION = 10**9


class Remembering:
    """The rule told by who came when: all claims are kept, and summed up when asked.

    :param counting: The rule under test, which it judges the claims for.
    """

    def __init__(self, counting: Counting, quota: Quota) -> None:
        self.counting, self.quota, self.start = counting, quota, -math.inf

    def used(self) -> int:
        """Return what counts now."""
        now, window = self.counting.now, self.quota.window
        start = self._start()
        current = self._between(start, start + window)
        if self.counting.strategy is FIXED:
            return current
        left = min(start + window - now, window) - GRACE
        return current + max(0, int(self._between(start - window, start) * left / window))

    def note(self, granted: bool) -> None:
        """Have a window begin with what was granted, if none holds it."""
        if granted:
            self.start = self._start()

    def _start(self) -> float:
        now, window = self.counting.now, self.quota.window
        if now >= self.start + 2 * window:
            return now
        return self.start if now < self.start + window else self.start + window

    def _between(self, start: float, end: float) -> int:
        return sum(cost for at, cost in self.counting.granted if start <= at < end)


@pytest.mark.parametrize(
    ("now", "after"),
    [
        pytest.param(100.0, WindowCounter(100.0, 7, 5), id="first moment"),
        pytest.param(99.995, WindowCounter(100.0, 7, 5), id="a little before"),
        pytest.param(159.999, WindowCounter(100.0, 7, 5), id="last moment"),
        pytest.param(160.0, WindowCounter(160.0, 5, 0), id="exactly at its end"),
        pytest.param(219.999, WindowCounter(160.0, 5, 0), id="last moment of the next"),
        pytest.param(220.0, WindowCounter(220.0, 0, 0), id="two windows later"),
        pytest.param(1e9, WindowCounter(1e9, 0, 0), id="long ago"),
    ],
)
def test_window_turns(now, after):
    """The next window begins where one ends; one that nobody used begins with who comes."""
    assert WindowCounter(100.0, 7, 5).at(now, 60) == after


@pytest.mark.parametrize("window", [pytest.param(1, id="second"), pytest.param(YEAR, id="year")])
def test_window_ends_on_the_moment(window):
    """The shortest window and a year alike hold the moment before their end and not the end."""
    counter = WindowCounter(EPOCH + 0.1, 0, 1)
    assert counter.at(EPOCH + 0.099 + window, window).current == 1
    assert counter.at(EPOCH + 0.1 + window, window).current == 0


@pytest.mark.parametrize(
    ("counter", "now", "fixed", "sliding"),
    [
        pytest.param(WindowCounter(100.0, 4, 1), 100.0, 1, 4, id="previous window full"),
        pytest.param(WindowCounter(100.0, 4, 1), 99.995, 1, 4, id="a little before"),
        pytest.param(
            WindowCounter(100.0, 4, 1), 115.0, 1, 3, id="three quarters of it, a moment later"
        ),
        pytest.param(WindowCounter(100.0, 4, 1), 114.999, 1, 4, id="what is begun is rounded down"),
        pytest.param(WindowCounter(100.0, 4, 1), 130.0, 1, 2, id="half of it, a moment later"),
        pytest.param(WindowCounter(100.0, 4, 1), 159.999, 1, 1, id="nothing of it"),
        pytest.param(WindowCounter(100.0, 9000, 1), 99.5, 1, 9000, id="no more than it had"),
        pytest.param(WindowCounter(100.0, 0, 3), 130.0, 3, 3, id="nothing before"),
        pytest.param(WindowCounter(100.0, BILLION, 0), 130.0, 0, BILLION // 2 - 17, id="a billion"),
    ],
)
def test_used(counter, now, fixed, sliding):
    """A fixed window counts its own; one that slides also the window before, by its share."""
    assert counter.used(now, 60, slides=False) == fixed
    assert counter.used(now, 60, slides=True) == sliding


@pytest.mark.parametrize(
    ("counter", "quota", "cost", "now", "standing"),
    [
        pytest.param((100.0, 0, 3), (4, 60), 1, 110.0, (3, 50.0, 0.0), id="room"),
        pytest.param((100.0, 0, 3), (4, 60), 2, 110.0, (3, 50.0, 50.0), id="no room"),
        pytest.param((100.0, 9, 0), (4, 60), 4, 110.0, (0, 50.0, 0.0), id="whole amount"),
        pytest.param((100.0, 0, 0), (4, 60), 5, 110.0, (0, 50.0, math.inf), id="too much"),
        pytest.param((100.0, 0, 1), (1, 1), 1, 100.75, (1, 0.25, 0.25), id="one a second"),
        pytest.param((0.0, 0, 1), (1, YEAR), 1, 0.0, (1, YEAR, YEAR), id="one a year"),
        pytest.param((100.0, 0, 4), (4, 60), 1, 99.5, (4, 60.5, 60.5), id="a little before"),
        pytest.param((100.0, 0, 1), (BILLION, 60), BILLION, 110.0, (1, 50.0, 50.0), id="a billion"),
    ],
)
def test_fixed_standing(counter, quota, cost, now, standing):
    """A claim waits until the window ends."""
    stands = WindowCounter(*counter).standing(Quota(*quota), cost, now, slides=False)
    assert stands == Standing(*standing)


@pytest.mark.parametrize(
    ("counter", "cost", "now", "used", "wait"),
    [
        pytest.param((100.0, 4, 0), 1, 100.0, 3, 0.0, id="first share leaves at once"),
        pytest.param((100.0, 4, 0), 2, 100.0, 3, 15.0, id="two shares leave after a quarter"),
        pytest.param((100.0, 4, 0), 4, 100.0, 3, 45.0, id="last share leaves after three"),
        pytest.param((100.0, 4, 0), 4, 130.0, 1, 15.0, id="in the middle"),
        pytest.param((100.0, 4, 2), 1, 100.0, 5, 30.0, id="beside its own"),
        pytest.param((100.0, 0, 4), 1, 110.0, 4, 50.0, id="own is full"),
        pytest.param((100.0, 0, 4), 4, 110.0, 4, 95.0, id="own is full and all is claimed"),
        pytest.param((100.0, 0, 1), 4, 110.0, 1, 50.0, id="single one is in the way"),
        pytest.param((100.0, 4, 0), 5, 110.0, 3, math.inf, id="too much"),
        pytest.param((100.0, 4, 0), 1, 99.5, 3, 0.0, id="a little before"),
    ],
)
def test_sliding_wait(counter, cost, now, used, wait):
    """A claim waits until enough of four a minute has slid out."""
    stands = WindowCounter(*counter).standing(Quota(4, 60), cost, now, slides=True)
    assert stands == (used, 160.0 - now, pytest.approx(wait, abs=1e-9))


@pytest.mark.parametrize("window", [pytest.param(1, id="second"), pytest.param(YEAR, id="year")])
@pytest.mark.parametrize("amount", [pytest.param(1, id="one"), pytest.param(BILLION, id="billion")])
@pytest.mark.parametrize("strategy", [FIXED, SLIDING])
def test_wait_is_true_at_the_edges(strategy, amount, window):
    """From one a year to a billion a second, who comes after the wait is granted the claim."""
    counting = Counting(strategy, (Quota(amount, window),))
    assert counting.take(amount).granted
    for cost in {1, (amount + 1) // 2, amount}:
        assert not counting.look(cost).granted
        counting.check_wait(cost)
    assert counting.look(amount + 1).wait == math.inf


@given(COUNTED, QUOTAS, HISTORIES)
def test_counter_equals_what_was_granted(strategy, quotas, history):
    """Over any history, two numbers tell what summing up all claims tells."""
    counting = Counting(strategy, quotas)
    models = [Remembering(counting, quota) for quota in quotas]
    for pause, cost in history:
        counting.now += pause
        used = [model.used() for model in models]
        both = zip(used, quotas, strict=True)
        fits = all(one + cost <= quota.amount for one, quota in both)
        assert [one.used for one in counting.look(quotas[0].amount + 1).standings] == used
        assert counting.take(cost).granted == fits
        for model in models:
            model.note(fits)


@given(COUNTED, QUOTAS, HISTORIES)
def test_amount_is_never_exceeded(strategy, quotas, history):
    """Whatever was granted, the quotas have counted no more than their amounts."""
    counting = Counting(strategy, quotas)
    for pause, cost in history:
        counting.play([(pause, cost)])
        both = zip(counting.look().standings, quotas, strict=True)
        assert all(standing.used <= quota.amount for standing, quota in both)


@given(QUOTAS, HISTORIES)
def test_fixed_windows_hold_no_more_than_their_amount(quotas, history):
    """What was granted between a window's two ends, told by their times alone, is not too much."""
    counting = Counting(FIXED, quotas)
    windows = {(number, EPOCH) for number in range(len(quotas))}
    for pause, cost in history:
        if counting.play([(pause, cost)]).granted:
            windows |= {(number, one.start) for number, one in enumerate(counting.held)}
    for number, start in windows:
        end = start + quotas[number].window
        within = sum(cost for at, cost in counting.granted if start <= at < end)
        assert within <= quotas[number].amount


@given(COUNTED, QUOTAS, HISTORIES, st.data())
def test_wait_is_true(strategy, quotas, history, data):
    """Who comes after the wait is granted the claim if nothing else came; no wait is too long."""
    counting = Counting(strategy, quotas).play(history)
    counting.check_wait(data.draw(st.integers(1, min(quota.amount for quota in quotas))))


@given(COUNTED, QUOTAS, HISTORIES, st.integers(1, 5))
def test_giving_back_at_once_undoes(strategy, quotas, history, cost):
    """Who gives back what was just granted leaves the quotas as they stood."""
    counting = Counting(strategy, quotas).play(history)
    before = counting.look()
    if counting.take(cost).granted:
        counting.give_back(counting.now, cost)
    assert counting.look() == before


@given(COUNTED, QUOTAS, HISTORIES, st.lists(st.integers(0, 40)))
def test_giving_back_later_is_as_if_never_granted(strategy, quotas, history, returned):
    """Whatever is given back, and when, the rest counts as it did."""
    counting = Counting(strategy, quotas)
    models = [Remembering(counting, quota) for quota in quotas]
    for (pause, cost), number in zip(history, returned, strict=False):
        counting.now += pause
        granted = counting.take(cost).granted
        for model in models:
            model.note(granted)
        if number < len(counting.granted):
            counting.give_back(*counting.granted[number])
        used = [one.used for one in counting.look(quotas[0].amount + 1).standings]
        assert used == [model.used() for model in models]


@pytest.mark.parametrize(
    ("at", "cost", "after"),
    [
        pytest.param(100.0, 2, WindowCounter(100.0, 4, 3), id="of this window"),
        pytest.param(159.9, 9, WindowCounter(100.0, 4, 0), id="never below zero"),
        pytest.param(99.9, 3, WindowCounter(100.0, 1, 5), id="of the window before"),
        pytest.param(40.0, 9, WindowCounter(100.0, 0, 5), id="never below zero before"),
        pytest.param(39.9, 1, WindowCounter(100.0, 4, 5), id="of an older window"),
    ],
)
def test_giving_back(at, cost, after):
    """What is given back leaves the window that it was taken of, and no other."""
    assert WindowCounter(100.0, 4, 5).without(cost, at, 60) == after


@given(COUNTED, QUOTAS, st.lists(st.tuples(HISTORIES, MILLISECONDS), max_size=8))
def test_time_that_goes_back_a_little_breaks_nothing(strategy, quotas, histories):
    """Claims told a few milliseconds late exceed no amount, and have a true wait."""
    counting = Counting(strategy, quotas)
    for history, shift in histories:
        counting.play(history).now += shift
        decision = counting.take()
        assert decision.granted == (decision.wait == 0)
        for standing, quota in zip(counting.look().standings, quotas, strict=True):
            assert 0 <= standing.used <= quota.amount
            assert 0 < standing.reset <= quota.window + 0.05
        counting.check_wait(1)


@given(st.integers(0, 2**20), st.integers(1, YEAR), st.integers(1, 5))
def test_window_is_over_when_its_end_is_there(ticks, window, amount):
    """At any time, small ones too, where sums are rounded: the wait ends where the window does."""
    start = ticks / 10
    rule, claim = CountedWindows(slides=False), Claim(FIXED, "a", (Quota(amount, window),), amount)
    held = rule.taken(rule.at(None, claim, start), claim, start)
    end = start + window
    decision = Decision.on(claim, rule.standings(rule.at(held, claim, end), claim, end), end)
    assert (decision.granted, decision.standings[0].used) == (True, amount)
