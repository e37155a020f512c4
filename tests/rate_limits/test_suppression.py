"""A flood of rejections costs few lines, and none is left out of their count."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from flask_resilience.events import LimitExceeded
from flask_resilience.rate_limits.suppression import MOST_KEYS, Suppression
from flask_resilience.testing import record_events
from tests.rate_limits.asking import ask, statuses
from tests.servers import run_python

EVENT = LimitExceeded(
    policy="app",
    limit="1 per 1 minute",
    window=60,
    strategy="fixed-window",
    key_type="key",
    key_hash="abc",
)
LONG = replace(EVENT, window=3600, route="/search")
AT_EXIT = """
from flask import Flask
from flask_resilience import Resilience

app = Flask("shop")
Resilience(app, rate_limit="1/hour", log_level="WARNING", storage_url="memory://")
app.add_url_rule("/", "index", lambda: "")
client = app.test_client()
for _ in range(51):
    client.get("/")
"""
FORK = (
    AT_EXIT
    + """
import os, sys
sys.stdout.flush()
pid = os.fork()
if pid == 0:
    for _ in range(3):
        client.get("/")
    sys.exit(0)
os.waitpid(pid, 0)
"""
)


@pytest.fixture
def app(make_limited):
    """Return an app with one request a minute, that logs warnings alone."""
    app = make_limited(
        rate_limit="1/minute", rate_limit_strategy="fixed-window", log_level="WARNING"
    )
    app.add_url_rule("/", "index", lambda: "")
    return app


@pytest.fixture
def told():
    """Return the events that a suppression tells."""
    return []


@pytest.fixture
def suppression(clock, told):
    """Return a suppression of rejections."""
    return Suppression(clock, told.append)


def rejections(lines):
    """Return how many rejections some lines stand for."""
    return sum(1 + line["suppressed"] for line in lines)


def test_ten_thousand_rejections_are_three_lines_at_most(app, clock, log_lines):
    """Lines and what they have suppressed add up to all rejections."""
    client = app.test_client()
    for _ in range(10_001):
        client.get("/")
    clock.advance(60)
    assert client.get("/").status_code == 200
    lines = log_lines("rate_limit.exceeded")
    assert (len(lines) <= 3, rejections(lines)) == (True, 10_000)


def test_rejections_over_several_windows_add_up(app, clock, log_lines):
    """The same where the flood goes on from window to window."""
    rejected = 0
    for _ in range(40):
        rejected += statuses(app, ["/"] * 25).count(429)
        clock.advance(7)
    clock.advance(60)
    ask(app)
    lines = log_lines("rate_limit.exceeded")
    assert rejections(lines) == rejected
    assert len(lines) <= 2 * 40 * 7 / 60 + 2


def test_first_rejection_is_told_at_once_with_its_request(app, log_lines):
    """Its line has the ID of its request."""
    answers = [ask(app) for _ in range(3)]
    (line,) = log_lines("rate_limit.exceeded")
    assert line["request_id"] == answers[1].headers["X-Request-ID"]
    assert (line["suppressed"], line["level"]) == (0, "warning")


def test_line_told_later_is_not_that_of_the_request_that_came_by(app, clock, log_lines):
    """What is told of windows that are over carries no other request's ID."""
    statuses(app, ["/"] * 5)
    log_lines()
    clock.advance(60)
    other = ask(app, address="198.51.100.7", headers={"X-Request-ID": "another-client"})
    assert other.status_code == 200
    (line,) = log_lines("rate_limit.exceeded")
    assert not {"request_id", "trace_id", "span_id"} & line.keys()
    assert "another-client" not in json.dumps(line)


def test_key_is_told_as_a_hash(make_limited, resilience, log_lines):
    """No address and no key of an app's own is readable in a line."""
    app = make_limited(rate_limit="1/minute", log_level="WARNING")
    app.add_url_rule("/", "index", lambda: "")
    keyed = resilience.limit("1/minute", key=lambda: "jane@example.org")(lambda: "")
    app.add_url_rule("/keyed", "keyed", keyed)
    statuses(app, ["/"] * 2, address="203.0.113.9")
    statuses(app, ["/keyed"], address="203.0.113.10")
    statuses(app, ["/keyed"], address="203.0.113.11")
    lines = log_lines("rate_limit.exceeded")
    assert [line["key_type"] for line in lines] == ["client_address", "key"]
    for line in lines:
        assert len(line["key_hash"]) == 16
        assert not any(word in json.dumps(line) for word in ("203.0.113", "jane", "example.org"))


def test_hashes_tell_keys_apart(app, log_lines):
    """Each client has a hash of its own, which stays the same."""
    for address in ("203.0.113.1", "203.0.113.2"):
        statuses(app, ["/"] * 2, address=address)
    one, other = log_lines("rate_limit.exceeded")
    assert one["key_hash"] != other["key_hash"]


def test_many_keys_stay_bounded_and_add_up(suppression, told, clock):
    """Beyond a number of keys the others are told together, and none is lost."""
    for number in range(3000):
        for _ in range(2):
            suppression.add(f"key {number}", EVENT)
    assert len(told) <= MOST_KEYS + 1
    suppression.tell_all()
    assert sum(1 + one.suppressed for one in told) == 6000
    others = [one for one in told if one.key_hash is None]
    assert sum(1 + one.suppressed for one in others) == 2 * (3000 - MOST_KEYS)


@pytest.fixture
def crowded(suppression, told):
    """Return a suppression that knows as many keys of an hour as it may, and told of each."""
    for number in range(MOST_KEYS):
        suppression.add(f"key {number}", LONG)
    told.clear()
    return suppression


def test_flood_of_one_route_does_not_silence_another(crowded, told):
    """Where there is no room for keys each route is still told of by itself."""
    for number in range(5):
        crowded.add(f"bot {number}", LONG)
    crowded.add("somebody", replace(LONG, route="/login"))
    assert [one.route for one in told] == ["/search", "/login"]


def test_those_without_room_are_told_each_minute(crowded, told, clock):
    """However long the window is: those who come together are several floods."""
    for number in range(1, 11):
        crowded.add(f"bot {number}", LONG)
        if not number % 2:
            clock.advance(60)
    assert [one.suppressed for one in told] == [0, 1, 1, 1, 1]
    crowded.tell_due()
    assert sum(1 + one.suppressed for one in told) == 10


def test_those_without_room_are_told_though_none_follows(crowded, told, clock):
    """Any request that comes a minute later has what was counted told, time and again."""
    for _ in range(3):
        for number in range(5):
            crowded.add(f"bot {number}", LONG)
        clock.advance(60)
        crowded.tell_due()
    assert [one.suppressed for one in told] == [0, 3, 4, 4]


def test_those_without_room_are_told_no_sooner_than_their_window(suppression, told, clock):
    """A window that is shorter than a minute is what they wait for."""
    short = replace(EVENT, window=5)
    for number in range(MOST_KEYS):
        suppression.add(f"key {number}", LONG)
    told.clear()
    for number in range(3):
        suppression.add(f"bot {number}", short)
        clock.advance(5 if number == 1 else 0)
    assert [one.suppressed for one in told] == [0, 1]


@pytest.mark.parametrize("pause", [0, 7, 60, 500], ids="{} s".format)
def test_crowds_of_several_routes_add_up(crowded, told, clock, pause):
    """Lines and what they have suppressed are all rejections, whoever is told of by himself."""
    for number in range(2000):
        route = ("/search", "/login", "/cart")[number % 3]
        crowded.add(f"key {number}", replace(LONG, route=route))
        if not number % 100:
            clock.advance(pause)
            crowded.tell_due()
    crowded.tell_all()
    assert sum(1 + one.suppressed for one in told) == 2000


def test_keys_are_forgotten_after_their_window(suppression, told, clock):
    """Keys of windows that are over make room for others."""
    for number in range(MOST_KEYS):
        suppression.add(f"key {number}", EVENT)
    clock.advance(60)
    suppression.tell_due()
    suppression.add("another", EVENT)
    assert told[-1].key_hash == "abc"


def test_nothing_is_told_before_its_window_is_over(suppression, told, clock):
    """Until then what was suppressed waits."""
    for _ in range(5):
        suppression.add("a", EVENT)
    clock.advance(59)
    suppression.tell_due()
    assert [one.suppressed for one in told] == [0]


@pytest.mark.parametrize("windows", [(60, 5), (5, 60)], ids=["longer first", "shorter first"])
def test_windows_of_several_limits_end_each_in_time(suppression, told, clock, windows):
    """A long window does not keep a short one from being told."""
    for window in windows:
        for _ in range(3):
            suppression.add("a", replace(EVENT, policy=f"of {window}", window=window))
    clock.advance(5)
    suppression.tell_due()
    assert [(one.policy, one.suppressed) for one in told[2:]] == [("of 5", 1)]


def test_next_line_of_a_key_tells_what_came_before(suppression, told, clock):
    """The first rejection after a window, if nothing was told meanwhile, tells of the window."""
    for _ in range(3):
        suppression.add("a", EVENT)
    clock.advance(60)
    suppression.add("a", EVENT)
    assert [one.suppressed for one in told] == [0, 2]


def test_silence_is_told_nothing_of(suppression, told, clock):
    """A key of which nothing was suppressed is told once."""
    suppression.add("a", EVENT)
    for _ in range(5):
        clock.advance(60)
        suppression.tell_due()
    suppression.tell_all()
    assert len(told) == 1


def test_listener_may_reject(clock):
    """A listener that is told may itself ask for something limited: no lock is held meanwhile."""
    told = []

    def listen(event):
        told.append(event)
        if len(told) == 1:
            suppression.add("b", EVENT)

    suppression = Suppression(clock, listen)
    suppression.add("a", EVENT)
    assert len(told) == 2


def test_the_rest_is_told_as_the_process_ends():
    """Rejections of a window that has not ended by then are told all the same."""
    lines = [json.loads(line) for line in run_python(AT_EXIT).splitlines()]
    assert rejections([line for line in lines if line["event"] == "rate_limit.exceeded"]) == 50


def test_forked_process_tells_nothing_of_its_parents():
    """What was suppressed before a fork is told by the parent alone."""
    lines = [json.loads(line) for line in run_python(FORK).splitlines()]
    of_limits = [line for line in lines if line["event"] == "rate_limit.exceeded"]
    parent = of_limits[0]["pid"]
    assert rejections([line for line in of_limits if line["pid"] == parent]) == 50
    assert rejections([line for line in of_limits if line["pid"] != parent]) == 2


def test_signal_listeners_hear_what_the_log_tells(app):
    """Events and lines are the same."""
    with record_events(app) as events:
        statuses(app, ["/"] * 5)
    assert [one.suppressed for one in events if isinstance(one, LimitExceeded)] == [0]
