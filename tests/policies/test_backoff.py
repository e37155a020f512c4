"""Waits follow the documented formulae."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_resilience.policies.backoff import CURVES, JITTERS, Backoff


def backoff(curve: str = "exponential", jitter: str = "none") -> Backoff:
    """Return a backoff of 1 s, doubling or growing by 1 s, of at most 8 s."""
    return Backoff(curve, jitter, initial_delay=1, multiplier=2, increment=1, max_delay=8)


@pytest.mark.parametrize(
    ("curve", "waits"),
    [
        pytest.param("fixed", [1, 1, 1, 1, 1], id="fixed stays"),
        pytest.param("linear", [1, 2, 3, 4, 5], id="linear adds"),
        pytest.param("exponential", [1, 2, 4, 8, 8], id="exponential doubles up to the longest"),
    ],
)
def test_curve(curve, waits):
    """Without jitter the waits are the curve."""
    assert [backoff(curve).wait(n, 0.0, lambda: 0.5) for n in range(1, 6)] == waits


@pytest.mark.parametrize(
    ("jitter", "lowest", "highest"),
    [
        pytest.param("none", 4.0, 4.0, id="none"),
        pytest.param("proportional", 3.2, 4.8, id="a fifth either way"),
        pytest.param("full", 0.0, 4.0, id="anything up to the delay"),
        pytest.param("equal", 2.0, 4.0, id="half to all of the delay"),
        pytest.param("decorrelated", 1.0, 6.0, id="up to three times the wait before"),
    ],
)
def test_jitter_range(jitter, lowest, highest):
    """Each jitter spreads the third wait, after one of 2 s, over its own range."""
    spread = backoff(jitter=jitter)
    assert spread.wait(3, 2.0, lambda: 0.0) == pytest.approx(lowest)
    assert spread.wait(3, 2.0, lambda: 1.0) == pytest.approx(highest)


def test_huge_attempt_number_is_no_overflow():
    """However many attempts there were, the wait is the longest one."""
    assert backoff().wait(100_000, 0.0, lambda: 0.5) == 8


@given(
    curve=st.sampled_from(sorted(CURVES)),
    jitter=st.sampled_from(JITTERS),
    attempt=st.integers(1, 200),
    previous=st.floats(0, 10),
    random=st.floats(0, 1),
)
def test_wait_is_never_negative_nor_above_a_fifth_over_the_longest(
    curve, jitter, attempt, previous, random
):
    """Whatever the parameters, a wait lies between 0 and 1.2 times the longest delay."""
    assert 0 <= backoff(curve, jitter).wait(attempt, previous, lambda: random) <= 8 * 1.2
