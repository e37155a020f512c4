"""Sessions on a clock that tests turn."""

from __future__ import annotations

import pytest

from flask_resilience import ResilientSession


@pytest.fixture
def events():
    """Return the list that the sessions' events go to."""
    return []


@pytest.fixture
def make_session(clock, events):
    """Return what makes a session; all are closed after the test."""
    made = []

    def make(options=None, **arguments):
        arguments.setdefault("clock", clock)
        made.append(ResilientSession(options, on_event=events.append, **arguments))
        return made[-1]

    yield make
    for session in made:
        session.close()


@pytest.fixture
def session(make_session):
    """Return a session with the default settings."""
    return make_session()
