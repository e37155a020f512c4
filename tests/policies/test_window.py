"""The window: what falls into it, and what time pushes out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_resilience.policies.window import Bucket, Window


def test_counts_of_one_bucket_add_up():
    """What is counted in the same tenth is one bucket."""
    window = Window().add(Bucket(5, successes=1)).add(Bucket(5, failures=2, slow=1))
    assert window == Window((Bucket(5, successes=1, failures=2, slow=1),))
    assert (window.calls, window.failures, window.slow) == (3, 2, 1)


def test_empty_window_has_no_share():
    """Without calls the rates are zero."""
    assert (Window().failure_rate, Window().slow_rate) == (0.0, 0.0)


def test_rates_are_shares_of_calls():
    """Failures and slow calls are told as shares of all calls."""
    window = Window((Bucket(1, successes=6, failures=2, slow=4),))
    assert (window.failure_rate, window.slow_rate) == (0.25, 0.5)


@pytest.mark.parametrize(
    ("oldest", "newest", "calls"),
    [
        pytest.param(100, 200, 1, id="just in time"),
        pytest.param(100.5, 200, 0, id="too old"),
        pytest.param(50, 99.5, 0, id="ahead"),
    ],
)
def test_bucket_counts_by_its_start(oldest, newest, calls):
    """A bucket stays while it began between the two times, themselves included."""
    assert Window((Bucket(100, failures=1),)).between(oldest, newest).calls == calls


def test_only_what_is_outside_leaves():
    """When one bucket leaves, the others stay."""
    window = Window((Bucket(100, failures=1), Bucket(106, failures=2), Bucket(112, failures=4)))
    assert window.between(106, 106).failures == 2


def test_late_count_is_put_where_it_belongs():
    """What happened earlier, but is told late, goes to its own bucket."""
    window = Window((Bucket(7, successes=1),)).add(Bucket(5, successes=2))
    assert window == Window((Bucket(5, successes=2), Bucket(7, successes=1)))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3), st.integers(0, 3)), max_size=50))
def test_window_equals_a_plain_count(counted):
    """Over any counts in any order, nothing is lost and the buckets are in order."""
    window = Window()
    for start, successes, failures in counted:
        window = window.add(Bucket(start, successes, failures))
    assert window.calls == sum(successes + failures for _, successes, failures in counted)
    starts = [bucket.start for bucket in window.buckets]
    assert starts == sorted(set(starts))
    late = window.between(20, 40)
    assert late.calls == sum(s + f for start, s, f in counted if 20 <= start <= 40)
