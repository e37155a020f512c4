"""Whether a failed attempt is made again, after what wait, and why it is the last one."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from flask_resilience import ConfigurationError, RetryPolicy
from flask_resilience.policies.outcome import Outcome, Verdict
from flask_resilience.policies.retry import RetryLoop


def failed(refusal=None, retry_after=None):
    """Return the verdict on a failed attempt."""
    return Verdict(
        outcome=Outcome.FAILURE,
        failed=True,
        status=503,
        refusal=refusal,
        retry_after=retry_after,
    )


GOOD = Verdict(outcome=Outcome.SUCCESS, status=200)
POLICY = RetryPolicy(jitter="none")


@dataclass(frozen=True)
class Made:
    """An attempt that was made."""

    number: int
    verdict: Verdict


class Script:
    """Attempts that come out as told, and what the loop did with them."""

    def __init__(self, *verdicts, left=25.0, blocked_after=99, interrupt=None, budget=99):
        self.verdicts, self.left, self.blocked_after = verdicts, left, blocked_after
        self.budget = budget
        self.interrupt = interrupt
        self.made, self.waits = 1, []

    def attempt(self, number):
        """Make the next attempt; ``None`` in the script turns it away."""
        self.made = number
        if self.interrupt is not None:
            raise self.interrupt
        verdict = self.verdicts[number - 1]
        return None if verdict is None else Made(number, verdict)

    def blocked(self):
        """Say whether the circuit is open by now."""
        return self.made >= self.blocked_after

    def afford(self, after):
        """Take one retry out of the budget."""
        self.budget -= 1
        return self.budget >= 0

    def time_left(self):
        """Return the rest of the deadline."""
        return self.left

    def pause(self, after, wait):
        """Note the wait."""
        self.waits.append(wait)
        self.left -= wait

    def run(self, policy=POLICY):
        """Run the loop over the script."""
        loop = RetryLoop(policy, self, Made(1, self.verdicts[0]))
        last = loop.run()
        return last.number, loop.stop_reason


@pytest.mark.parametrize(
    ("script", "number", "reason", "waits"),
    [
        pytest.param(Script(failed(), failed(), GOOD), 3, None, [1, 2], id="third is good"),
        pytest.param(Script(*[failed()] * 9), 4, "attempts", [1, 2, 4], id="all fail"),
        pytest.param(Script(failed("unsafe")), 1, "unsafe", [], id="refused"),
        pytest.param(Script(failed(), failed("body")), 2, "body", [1], id="refused later"),
        pytest.param(Script(failed(), GOOD, left=1.0), 1, "deadline", [], id="wait does not fit"),
        pytest.param(
            Script(failed(), failed(), GOOD, left=2.5), 2, "deadline", [1], id="second wait"
        ),
        pytest.param(
            Script(failed(retry_after=31.0), left=99.0), 1, "retry_after", [], id="too long to wait"
        ),
        pytest.param(
            Script(failed(), GOOD, blocked_after=1), 1, "circuit_open", [], id="circuit opened"
        ),
        pytest.param(
            Script(failed(), None), 1, "circuit_open", [1], id="circuit opened in the wait"
        ),
    ],
)
def test_loop_ends_on_the_right_attempt(script, number, reason, waits):
    """The loop ends with the attempt, the reason and the waits the rules ask for."""
    assert (*script.run(), script.waits) == (number, reason, waits)


def test_decorrelated_waits_grow_from_the_wait_before(monkeypatch):
    """Each decorrelated wait may be three times the one before it, up to the longest."""
    monkeypatch.setattr("random.random", lambda: 1.0)
    script = Script(*[failed()] * 4)
    script.run(RetryPolicy(jitter="decorrelated"))
    assert script.waits == [1, 3, 8]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), ValueError("ours")])
def test_exception_of_an_attempt_passes_untouched(error):
    """What an attempt raises past its judge is raised as it is, whatever it is."""
    script = Script(failed(), interrupt=error)
    with pytest.raises(type(error)) as raised:
        script.run()
    assert raised.value is error


@pytest.mark.parametrize(
    ("retry_after", "lowest", "highest"),
    [
        pytest.param(2.0, 2.0, 2.2, id="longer than the backoff"),
        pytest.param(0.5, 1.0, 1.0, id="shorter than the backoff"),
        pytest.param(None, 1.0, 1.0, id="not asked for"),
    ],
)
def test_retry_after_wins_if_longer(retry_after, lowest, highest):
    """A wait is never shorter than Retry-After and at most a tenth longer."""
    assert POLICY.wait(1, 0.0, retry_after, lambda: 0.0) == pytest.approx(lowest)
    assert POLICY.wait(1, 0.0, retry_after, lambda: 1.0) == pytest.approx(highest)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("attempts", 0, id="no attempt"),
        pytest.param("attempts", 2.0, id="a float count"),
        pytest.param("backoff", "quadratic", id="unknown curve"),
        pytest.param("jitter", None, id="no jitter's name"),
        pytest.param("initial_delay", -1, id="negative delay"),
        pytest.param("statuses", [99], id="no status"),
        pytest.param("statuses", 503, id="not a list"),
        pytest.param("unsafe", "sometimes", id="unknown rule"),
    ],
)
def test_value_out_of_range_is_named(field, value):
    """A wrong value raises an error that names field, value and range."""
    with pytest.raises(ConfigurationError, match=f"RetryPolicy.{field} is .*; it must be"):
        RetryPolicy(**{field: value})
