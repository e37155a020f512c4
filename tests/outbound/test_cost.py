"""What a call costs, in counts that repeat; times are in the benchmarks."""

from __future__ import annotations

import os
import sys

import pytest
import requests

from flask_resilience import ResilientSession


def count_calls(function):
    """Return how many Python functions are called, by the package they are in."""
    counted = {}

    def note(frame, event, _):
        if event == "call":
            package = frame.f_globals.get("__name__", "").partition(".")[0]
            counted[package] = counted.get(package, 0) + 1

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return counted


@pytest.fixture
def url(make_upstream):
    """Return the address of an upstream that is well."""
    return make_upstream(200).url


def counted(session, url):
    """Return the counts of one call after some others."""
    for _ in range(3):
        session.get(url)
    return count_calls(lambda: session.get(url))


def test_success_never_enters_tenacity(url):
    """The library tenacity is entered once an attempt has failed, not before."""
    with ResilientSession() as session:
        assert "tenacity" not in counted(session, url)


def test_call_is_cheaper_than_that_of_a_plain_session(url, monkeypatch):
    """With everything on, a call makes fewer function calls than that of a plain session."""
    for number in range(35):  # as many as a server has, where a test may have few
        monkeypatch.setitem(os.environ, f"SERVICE_{number}", "")
    with ResilientSession() as ours, requests.Session() as plain:
        assert sum(counted(ours, url).values()) < sum(counted(plain, url).values())


def test_cost_is_flat_in_the_size_of_the_environment(url, monkeypatch):
    """A thousand more environment variables make no call more."""
    with ResilientSession() as session:
        few = sum(counted(session, url).values())
        for number in range(1000):
            monkeypatch.setitem(os.environ, f"SERVICE_{number}_PORT", "tcp://10.0.0.1:80")
        assert sum(counted(session, url).values()) <= few + 5


def test_cost_is_flat_in_the_number_of_upstreams(url):
    """A thousand known upstreams make no call more."""
    with ResilientSession() as session:
        few = sum(counted(session, url).values())
        for port in range(1, 1001):
            session._guard.breaker(f"http://127.0.0.1:{port}")  # noqa: SLF001  # none is called
            session._guard.budgets.budget(f"http://127.0.0.1:{port}")  # noqa: SLF001
        assert sum(counted(session, url).values()) <= few + 5
