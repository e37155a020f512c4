"""No secret of a call reaches the log, however the call fails."""

from __future__ import annotations

import logging

import pytest
import requests

from flask_resilience import Resilience, get_logger
from flask_resilience.rules import LOG_PRESET
from flask_resilience.testing import Reply
from tests.servers import free_port

FAILURES = {
    "status": Reply(status=500),
    "reset": Reply(fault="reset"),
    "truncated body": Reply(fault="truncate"),
    "no HTTP": Reply(fault="garbage"),
    "timeout": Reply(fault="hang"),
    "redirect to itself": "redirect",
    "connection refused": None,
    "certificate": "https",
}


def secret_url(upstream, scheme="http"):
    """Return an address with two secrets and a harmless parameter."""
    port = free_port() if upstream is None else upstream.server_port
    return f"{scheme}://user:hunter2@127.0.0.1:{port}/v1?api_key=SECRET123&x=1"


def set_up(failure, make_upstream):
    """Return the address of an upstream that fails like this."""
    if failure is None:
        return secret_url(None)
    if failure == "https":
        return secret_url(make_upstream(200), "https")
    if failure == "redirect":
        upstream = make_upstream(200)
        upstream.script = [Reply(status=302, headers={"Location": secret_url(upstream)})]
        return secret_url(upstream)
    return secret_url(make_upstream(failure))


@pytest.mark.parametrize("failure", [pytest.param(one, id=name) for name, one in FAILURES.items()])
@pytest.mark.parametrize("preset", LOG_PRESET.words)
def test_failing_call_shows_no_secret(make_app, make_upstream, capsys, preset, failure):
    """Not in our lines, urllib3's or the app's own, nor in a traceback; x=1 is kept."""
    url = set_up(failure, make_upstream)
    app = make_app(log_level="DEBUG", log_preset=preset, timeout=0.3, retry_attempts=2)

    @app.get("/")
    def view():
        get_logger("view").info("calling", url=url)
        try:
            return Resilience().session.get(url).text
        except requests.RequestException as error:
            logging.getLogger("view").exception("failed at %s", url)
            get_logger("view").exception("failed", error=error, args=(url, {url: url}), **{url: 1})
            raise

    logging.getLogger("urllib3").setLevel(logging.DEBUG)
    app.test_client().get("/")
    out, err = capsys.readouterr()
    assert "urllib3.connectionpool" in out
    assert "hunter2" not in out + err
    assert "SECRET123" not in out + err
    assert out.count("x=1") >= 2
