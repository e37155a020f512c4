"""Attempts at an upstream, and what they come to."""

from __future__ import annotations

from flask_resilience import CircuitOpenError
from flask_resilience.policies.outcome import Outcome, Verdict

GOOD = Verdict(outcome=Outcome.SUCCESS, status=200)
BAD = Verdict(outcome=Outcome.FAILURE, failed=True, status=503)
TOO_MANY = Verdict(outcome=Outcome.SUCCESS, failed=True, status=429, fails_trial=True)
NO_DNS = Verdict(outcome=Outcome.FAILURE, failed=True, error_type="gaierror", host_fault=True)
LET_GO = Verdict(outcome=Outcome.IGNORED, abandoned=True)


def attempt(breaker, verdict=GOOD, duration=0.0):
    """Make one attempt that comes to *verdict*."""
    breaker.record(breaker.admit(15.0), verdict, duration)


def trip(breaker, verdict=BAD):
    """Open the circuit."""
    for _ in range(breaker.policy.failure_threshold):
        attempt(breaker, verdict)


def rejected(breaker):
    """Say whether an attempt is turned away now."""
    try:
        breaker.release(breaker.admit(15.0))
    except CircuitOpenError:
        return True
    return False


def changes(events):
    """Return the transitions that were told."""
    return [(one.from_state, one.to_state) for one in events]
