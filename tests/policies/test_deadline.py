"""A deadline is one moment, shared by whoever asks."""

from __future__ import annotations

from flask_resilience.policies.deadline import Deadline


def test_left_shrinks_to_zero_and_no_further(clock):
    """The time left runs out and is never negative."""
    deadline = Deadline.after(5.0, clock)
    left = [deadline.left()]
    clock.advance(4)
    left.append(deadline.left())
    clock.advance(4)
    assert [*left, deadline.left()] == [5.0, 1.0, 0.0]
    assert deadline.over


def test_sooner_limit_wins(clock):
    """An attempt ends with its own limit or with the call, whichever is sooner."""
    deadline = Deadline.after(5.0, clock)
    assert deadline.within(2.0).left() == 2.0
    assert deadline.within(15.0) is deadline
