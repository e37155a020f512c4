"""Percentiles in little memory."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_resilience.cli.sketch import RELATIVE_ERROR, Sketch

DURATIONS = st.lists(st.floats(min_value=1e-3, max_value=1e9), min_size=1, max_size=200)


def sketch(values):
    """Return a sketch of values."""
    made = Sketch()
    for value in values:
        made.add(value)
    return made


@given(DURATIONS, st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_percentiles_are_within_one_percent(values, share):
    """Each percentile is within 1 % of the value at the nearest rank."""
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    assert sketch(values).percentile(share) == pytest.approx(exact, rel=RELATIVE_ERROR * 1.0001)


def test_memory_is_bounded():
    """Any number of values of any size falls into a bounded number of buckets."""
    made = sketch(10.0 ** (exponent / 100) for exponent in range(-30_000, 30_000))
    assert made.count == 60_000
    assert len(vars(made)["_buckets"]) < 2_200


@pytest.mark.parametrize("value", [0.0, -5.0])
def test_what_took_no_time(value):
    """Zero, or less by a clock that was set, counts as next to nothing."""
    assert sketch([value]).percentile(0.5) == pytest.approx(0, abs=1e-5)


def test_nothing_has_no_percentile():
    """Without values there is no percentile."""
    assert Sketch().percentile(0.5) is None
