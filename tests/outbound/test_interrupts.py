"""What interrupts a call ends it at once, and leaves no trial behind."""

from __future__ import annotations

import json

import pytest
import requests

from flask_resilience import CircuitBreakerPolicy, CircuitOpenError, RetryPolicy
from flask_resilience.events import AttemptFinished, CallFinished, RetryScheduled
from flask_resilience.storage.memory import MemoryStorage
from tests.servers import run_python

BOUND = 2.0
"""Seconds in which an interruption comes out; the wait that it ends takes 8 or more."""
LONG_WAIT = RetryPolicy(attempts=3, initial_delay=8, jitter="none")

# What all interruptions have in common: an upstream, a session, and when to interrupt.
SCENE = """
import json, os, signal, sys, threading, time
from flask_resilience import CircuitBreakerPolicy, ResilientSession, RetryPolicy
from flask_resilience.events import AttemptFinished, CallFinished, RetryScheduled
from flask_resilience.storage.memory import MemoryStorage
from flask_resilience.testing import Reply, ScriptedUpstream

HANG = Reply(fault="hang")
events, storage = [], MemoryStorage()


def session_on(policy):
    return ResilientSession(
        retry=RetryPolicy(attempts=3, initial_delay=8, jitter="none"),
        breaker=policy, storage=storage, on_event=events.append,
    )


def half_open(session, upstream):
    session.get(upstream.url, retries=0)
    while not is_over(storage.read(upstream.url)):
        time.sleep(0.01)


def is_over(reading):
    return reading.now >= reading.circuit.open_until


def tell(upstream, error, asked):
    circuit = storage.read(upstream.url).circuit
    print(json.dumps({
        "error": error,
        "seconds": time.monotonic() - asked,
        "trials": len(circuit.trials),
        "state": circuit.state.value,
        "attempts": sum(isinstance(one, AttemptFinished) for one in events),
        "finishes": [[one.outcome, one.stop_reason] for one in events
                     if isinstance(one, CallFinished)],
    }))


def when(true, then):
    while not true():
        time.sleep(0.01)
    time.sleep(0.2)  # until the wait, or the hanging exchange, has begun
    then()


TRIED = CircuitBreakerPolicy(
    failure_threshold=1, recovery_timeout=0.1, success_threshold=2, trials=2
)
"""

BY_SIGNAL = (
    SCENE
    + """
asked = []


def interrupt():
    asked.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)


def interrupted(session, upstream, true):
    threading.Thread(target=when, args=(true, interrupt), daemon=True).start()
    try:
        session.get(upstream.url)
    except KeyboardInterrupt as error:
        tell(upstream, type(error).__name__, asked[0])
"""
)

BY_GREENLET = (
    """
import gevent.monkey
gevent.monkey.patch_all()
import gevent
"""
    + SCENE
    + """

def interrupted(session, upstream, true):
    asked = time.monotonic() + 1.0
    try:
        with gevent.Timeout(1.0):
            session.get(upstream.url)
    except gevent.Timeout as error:
        tell(upstream, type(error).__name__, asked)
"""
)

IN_A_WAIT = """
with ScriptedUpstream(503) as upstream, session_on(CircuitBreakerPolicy()) as session:
    interrupted(session, upstream, lambda: any(isinstance(e, RetryScheduled) for e in events))
"""

IN_A_TRIAL = """
with ScriptedUpstream(500, HANG) as upstream, session_on(TRIED) as session:
    half_open(session, upstream)
    interrupted(session, upstream, lambda: len(upstream.requests) == 2)
"""

IN_A_WAIT_AFTER_A_TRIAL = """
policy = RetryPolicy(attempts=3, initial_delay=8, jitter="none", statuses={404})
with ScriptedUpstream(500, 404) as upstream, ResilientSession(
    retry=policy, breaker=TRIED, storage=storage, on_event=events.append
) as session:
    half_open(session, upstream)
    interrupted(session, upstream, lambda: any(isinstance(e, RetryScheduled) for e in events))
"""

IN_A_STREAMED_TRIAL = """
DRIP = Reply(body=b"x" * 100, fault="drip", pace=0.2)
with ScriptedUpstream(500, DRIP) as upstream, session_on(TRIED) as session:
    half_open(session, upstream)
    session.get = lambda url: list(session.request("GET", url, stream=True).iter_content(1))
    interrupted(session, upstream, lambda: len(upstream.requests) == 2)
"""

INTERRUPTIONS = [
    pytest.param(BY_SIGNAL, "KeyboardInterrupt", id="SIGINT"),
    pytest.param(BY_GREENLET, "Timeout", id="gevent.Timeout"),
]
interruptions = pytest.mark.parametrize(("by", "error"), INTERRUPTIONS)


def played(code):
    """Return what *code* told, run in an interpreter of its own."""
    return json.loads(run_python(code))


@interruptions
def test_wait_ends_at_once(by, error):
    """What is raised into a wait of 8 s comes out, and nothing more is sent."""
    told = played(by + IN_A_WAIT)
    assert (told["error"], told["attempts"]) == (error, 1)
    assert told["seconds"] < BOUND
    assert told["finishes"] == [["failed", "interrupted"]]
    assert told["trials"] == 0


@interruptions
@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(IN_A_TRIAL, id="while the upstream is silent"),
        pytest.param(IN_A_STREAMED_TRIAL, id="while the body is read"),
        pytest.param(IN_A_WAIT_AFTER_A_TRIAL, id="in a wait after it"),
    ],
)
def test_trial_is_handed_back(by, error, scene):
    """An interrupted call holds no trial, and its interruption says nothing of the upstream."""
    told = played(by + scene)
    assert told["error"] == error
    assert told["seconds"] < BOUND
    assert (told["trials"], told["state"]) == (0, "half_open")
    assert told["finishes"][-1] == ["failed", "interrupted"]


class Interrupting:
    """Sleeping is interrupted.

    :param clock: Tells the time.
    :param error: What comes instead of sleep.
    """

    def __init__(self, clock, error):
        self.wall, self.monotonic, self.error = clock.wall, clock.monotonic, error

    def sleep(self, seconds):
        """Be interrupted."""
        raise self.error


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_interrupted_sleep_comes_out_untouched(make_session, make_upstream, clock, events, kind):
    """What sleeping raises is raised as the very same object; the call is told of once."""
    error = kind("now")
    session = make_session(retry=LONG_WAIT, clock=Interrupting(clock, error))
    with pytest.raises(kind) as raised:
        session.get(make_upstream(503).url)
    assert raised.value is error
    assert [type(one) for one in events] == [AttemptFinished, RetryScheduled, CallFinished]
    assert (events[-1].outcome, events[-1].stop_reason) == ("failed", "interrupted")


def test_interrupted_sleep_leaves_no_trial(make_session, make_upstream, clock):
    """A wait after a good trial is interrupted: no trial is out, and the next calls may try."""
    storage = MemoryStorage(clock)
    policy = CircuitBreakerPolicy(failure_threshold=1, success_threshold=3, trials=1)
    upstream = make_upstream(500, 404, 404, 200)
    interrupting = Interrupting(clock, SystemExit())
    retry = RetryPolicy(attempts=2, statuses={404})
    session = make_session(retry=retry, breaker=policy, storage=storage, clock=interrupting)
    session.get(upstream.url)
    with pytest.raises(CircuitOpenError):
        session.get(upstream.url)
    clock.advance(66)
    for _ in range(2):
        with pytest.raises(SystemExit):
            session.get(upstream.url)
        assert storage.read(upstream.url).circuit.trials == ()
    assert session.get(upstream.url).status_code == 200


def test_interrupted_stream_in_a_redirect_leaves_no_trial(make_session, make_upstream, clock):
    """A hook that is interrupted while a trial's answer is unread hands the trial back."""
    storage = MemoryStorage(clock)
    policy = CircuitBreakerPolicy(failure_threshold=1)
    session = make_session(breaker=policy, storage=storage)
    upstream = make_upstream(500, 200)
    session.get(upstream.url, retries=0)
    clock.advance(66)

    def interrupt(response, **_):
        raise SystemExit

    with pytest.raises(SystemExit):
        session.get(upstream.url, stream=True, hooks={"response": interrupt})
    assert storage.read(upstream.url).circuit.trials == ()
    assert isinstance(session.get(upstream.url), requests.Response)
