"""Many threads over one session and an upstream of all moods: nothing is lost, mixed up or leaked.

For a longer run, set :data:`CALLS` by hand: 40 calls of each thread take some two seconds.
"""

from __future__ import annotations

import gc
import json
import os
import random
import subprocess
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from flask_resilience import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    ClientOptions,
    ResilientSession,
    RetryPolicy,
)
from flask_resilience.events import AttemptFinished, CallFinished, CircuitChanged
from flask_resilience.storage.memory import MemoryStorage

THREADS = 32
CALLS = 40
"""Calls that each thread makes."""
MOODS = [
    *(["200"] * 4),
    *("404", "500", "503", "reset", "truncate", "slow", "redirect", "flaky"),
    *("read", "leave", "close"),  # of a streamed answer
]
OPEN_FILES = Path("/proc/self/fd" if Path("/proc/self/fd").exists() else "/dev/fd")

SERVER = """
import json, sys
from collections import Counter
from flask_resilience.testing import FaultyHandler, FaultyServer, Reply

seen, tried = [], Counter()


class Moody(FaultyHandler):
    def _serve(self):
        asked = self.received()
        _, mood, key = asked.path.split("/")
        seen.append(key)
        tried[key] += 1
        body = (key + " ").encode() * (5000 if mood in ("read", "leave", "close") else 1)
        echo = {"X-Key": key}
        if mood == "flaky":
            mood = "503" if tried[key] == 1 else "200"
        if mood == "redirect":
            self.reply(Reply(status=302, headers={**echo, "Location": f"/200/{key}"}))
        elif mood in ("reset", "truncate"):
            self.reply(Reply(body=body, headers=echo, fault=mood))
        else:
            status = int(mood) if mood.isdecimal() else 200
            delay = 0.05 if mood == "slow" else 0.0
            self.reply(Reply(status=status, headers=echo, body=body, delay=delay))

    do_GET = _serve


with FaultyServer(Moody) as server:
    print(server.url, flush=True)
    sys.stdin.readline()
print(json.dumps(seen))
"""


@contextmanager
def moody_server():
    """Start the server in a process of its own; give its address, and what it saw once it ended."""
    command = [sys.executable, "-c", SERVER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:

        def ended():
            out, _ = process.communicate("\n", timeout=60)
            return json.loads(out)

        try:
            yield process.stdout.readline().strip(), ended
        finally:
            process.kill()


@dataclass(slots=True)
class Run:
    """What came of a run."""

    events: list = field(default_factory=list)
    problems: list = field(default_factory=list)
    outcomes: Counter = field(default_factory=Counter)
    seen: list = field(default_factory=list)
    trials: tuple = ()
    leaked: int = 0
    left: int = 0

    def told(self, kind):
        """Return the events of one kind."""
        return [one for one in self.events if isinstance(one, kind)]


def open_sockets():
    """Return how many sockets this process has open; all files where that cannot be told."""
    names = (os.path.realpath(OPEN_FILES / name) for name in os.listdir(OPEN_FILES))
    return sum("socket:" in name or OPEN_FILES.parts[1] == "dev" for name in names)


def call(session, url, mood, key, run):
    """Make one call to an upstream in *mood*, and hold its answer to its key."""
    streamed = mood in ("read", "leave", "close")
    try:
        response = session.get(f"{url}/{mood}/{key}", stream=streamed)
        if response.headers["X-Key"] != key:
            run.problems.append((mood, key, response.headers["X-Key"]))
        if mood == "leave":
            next(response.iter_content(10))
        elif mood == "close":
            response.close()
        elif set(response.text.split()) != {key}:
            run.problems.append((mood, key, response.text[:50]))
        return str(response.status_code)
    except CircuitOpenError:
        time.sleep(0.005)  # else nearly all calls would be rejected
        return "rejected"
    except requests.RequestException as error:
        return type(error).__name__


def calls_of_a_thread(session, url, number, run):
    """Make all calls of one thread."""
    moods = random.Random(number).choices(MOODS, k=CALLS)  # noqa: S311  # as in every run
    return Counter(
        call(session, url, mood, f"{number}-{one}", run) for one, mood in enumerate(moods)
    )


def idle_connections(session):
    """Return how many connections the session keeps for later."""
    pools = session.adapters["http://"].poolmanager.pools
    every = [pools[key] for key in pools.keys()]  # noqa: SIM118  # it refuses to be iterated
    kept = [one for pool in every for one in pool.pool.queue if one is not None]
    return sum(one.sock is not None for one in kept)


def new_session(storage, events):
    """Return a session whose circuit opens, and tries again, many times a second."""
    return ResilientSession(
        ClientOptions(timeout=30, deadline=60),
        retry=RetryPolicy(attempts=3, initial_delay=0.001, max_delay=0.005),
        breaker=CircuitBreakerPolicy(
            failure_threshold=5,
            failure_rate=1.0,
            recovery_timeout=0.01,
            success_threshold=3,
            trials=2,
        ),
        storage=storage,
        on_event=events.append,
    )


@pytest.fixture(scope="module")
def run():
    """Return what came of one run, which all tests look at."""
    made, storage = Run(), MemoryStorage()
    with warnings.catch_warnings(), moody_server() as (url, ended):
        warnings.simplefilter("ignore", ResourceWarning)  # of streams let go, as requests has it
        gc.collect()
        before = open_sockets()
        with new_session(storage, made.events) as session:
            with ThreadPoolExecutor(THREADS) as pool:
                work = [
                    pool.submit(calls_of_a_thread, session, url, number, made)
                    for number in range(THREADS)
                ]
            made.outcomes = sum((one.result() for one in work), Counter())
            gc.collect()
            made.leaked = open_sockets() - before - idle_connections(session)
            # A trial whose stream was let go is handed back by the call that comes next.
            made.outcomes[call(session, url, "200", "last", made)] += 1
            made.trials = storage.read(url).circuit.trials
        made.left = open_sockets() - before
        made.seen = ended()
    return made


def test_every_call_is_told_of_once(run):
    """There are as many finish events as calls, each of a call of its own."""
    finishes = run.told(CallFinished)
    assert len(finishes) == len({one.call_id for one in finishes}) == THREADS * CALLS + 1
    assert run.outcomes.total() == THREADS * CALLS + 1


def test_every_request_is_told_of_once(run):
    """For each request that the server saw there is one attempt event, and none without one."""
    told = Counter(one.url.rpartition("/")[2] for one in run.told(AttemptFinished))
    assert told == Counter(run.seen)


def test_attempts_of_the_calls_add_up(run):
    """The finish events count the attempts that were told of."""
    attempts = sum(one.attempts for one in run.told(CallFinished))
    assert attempts == len(run.told(AttemptFinished))


def test_every_answer_went_to_who_asked(run):
    """No thread got the answer to another one's request."""
    assert run.problems == []


def test_no_trial_is_left_out(run):
    """When all is quiet the circuit waits for nobody, though it opened and let trials through."""
    assert run.trials == ()
    assert "half_open" in {one.to_state for one in run.told(CircuitChanged)}


def test_no_socket_is_left_open(run):
    """No socket is open beside the pool's idle ones, and none once the session is closed."""
    assert run.leaked <= 0
    assert run.left <= 0


@pytest.mark.parametrize(
    "outcome",
    ["200", "404", "500", "503", "ConnectionError", "ChunkedEncodingError", "rejected"],
)
def test_run_had_all_of_it(run, outcome):
    """The run is worth looking at: each way to end came up."""
    assert run.outcomes[outcome] > 0
