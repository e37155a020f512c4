"""Sessions on a clock that tests turn."""

from __future__ import annotations

import pytest

from flask_resilience import ResilientSession
from flask_resilience.testing import FaultyHandler, FaultyServer, Reply


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


class _PeerHandler(FaultyHandler):
    """Answers with the port that the request came from."""

    def do_GET(self):  # noqa: N802  # as http.server calls it
        self.received()
        self.reply(Reply(headers={"X-Peer": str(self.client_address[1])}))


@pytest.fixture
def peer_upstream():
    """Return the address of an upstream that tells each connection from the others."""
    with FaultyServer(_PeerHandler) as server:
        yield server.url
