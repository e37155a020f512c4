"""The tools that are public for tests do what they say."""

from __future__ import annotations

import pytest
import requests
from flask import Flask

from flask_resilience import ConfigurationError
from flask_resilience.events import RequestFinished
from flask_resilience.testing import FakeClock, Reply, ScriptedUpstream, record_events


def test_fake_clock_moves_only_when_told():
    """Sleeping notes the pause and lets it pass at once."""
    clock = FakeClock(100.0)
    clock.sleep(2.5)
    clock.advance(1)
    assert (clock.wall(), clock.monotonic(), clock.slept) == (103.5, 103.5, [2.5])


def test_upstream_follows_its_script_and_repeats_the_last():
    """Each request gets the next answer; when the script is over, the last one again."""
    with ScriptedUpstream(503, Reply(status=201, body=b"made", headers={"X-A": "1"})) as upstream:
        answers = [requests.post(upstream.url + "/p", data=b"body", timeout=5) for _ in range(3)]
    assert [one.status_code for one in answers] == [503, 201, 201]
    assert (answers[1].content, answers[1].headers["X-A"]) == (b"made", "1")
    first = upstream.requests[0]
    assert (first.method, first.path, first.body) == ("POST", "/p", b"body")
    assert first.headers["content-length"] == "4"


def test_chunked_body_is_received_whole():
    """A body without a length is read to its end."""
    with ScriptedUpstream(200) as upstream:
        requests.put(upstream.url, data=iter([b"a" * 5000, b"b"]), timeout=5)
    assert upstream.requests[0].body == b"a" * 5000 + b"b"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param("hang", requests.ReadTimeout, id="hang"),
        pytest.param("reset", requests.ConnectionError, id="reset"),
        pytest.param("truncate", requests.exceptions.ChunkedEncodingError, id="truncate"),
        pytest.param("garbage", requests.ConnectionError, id="garbage"),
        pytest.param("drip", requests.ConnectionError, id="drip"),
    ],
)
def test_fault_happens_on_the_wire(fault, error):
    """Each fault is what a client of plain requests really sees."""
    reply = Reply(body=b"12345678", fault=fault, pace=5)
    with ScriptedUpstream(reply) as upstream, pytest.raises(error):
        requests.get(upstream.url, timeout=0.3)


def test_unknown_fault_is_named():
    """A mistyped fault is no good answer by accident."""
    with pytest.raises(
        ConfigurationError, match=r"fault is 'explode'; it must be None or one of 'hang'"
    ):
        Reply(fault="explode")


def test_events_are_recorded_while_the_block_runs(make_app):
    """What an app reports is collected inside the block, and not after it."""
    app = make_app()
    with record_events(app) as events:
        app.test_client().get("/nowhere")
    app.test_client().get("/nowhere")
    assert [type(one) for one in events] == [RequestFinished]


def test_app_without_the_extension_cannot_be_recorded():
    """There is nothing to record where nothing was initialised."""
    with pytest.raises(RuntimeError, match="init_app"), record_events(Flask("plain")):
        pass


@pytest.mark.parametrize("script", [(), ("503",), (None,), (99,)], ids=repr)
def test_script_of_something_else_is_refused(script):
    """An upstream without a script, or with nonsense in it, is no network's failure."""
    with pytest.raises(ConfigurationError, match=r"(script|status) is"):
        ScriptedUpstream(*script)


@pytest.mark.parametrize("wrong", [{"body": "text"}, {"status": 999}])
def test_reply_that_cannot_be_sent_is_refused(wrong):
    """A reply is checked when it is made, not when it breaks a connection."""
    with pytest.raises(ConfigurationError, match=f"{next(iter(wrong))} is"):
        Reply(**wrong)
