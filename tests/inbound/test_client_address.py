"""Whose address a request has, behind proxies and without."""

from __future__ import annotations

import pytest

from flask_resilience.inbound.client_address import client_address

PEER = "198.51.100.9"


@pytest.mark.parametrize(
    ("forwarded", "proxies", "address"),
    [
        pytest.param(None, 0, PEER, id="nothing trusted, nothing said"),
        pytest.param("192.0.2.7", 0, PEER, id="nothing trusted"),
        pytest.param("192.0.2.7", 1, "192.0.2.7", id="one proxy"),
        pytest.param("6.6.6.6, 192.0.2.7", 1, "192.0.2.7", id="one proxy, one entry made up"),
        pytest.param("192.0.2.7,10.0.0.1", 2, "192.0.2.7", id="two proxies"),
        pytest.param("6.6.6.6,192.0.2.7,10.0.0.1", 2, "192.0.2.7", id="two, one made up"),
        pytest.param("192.0.2.7", 2, PEER, id="past one of two proxies"),
        pytest.param(None, 1, PEER, id="past the proxy"),
        pytest.param("", 1, PEER, id="empty"),
        pytest.param("192.0.2.7,", 1, PEER, id="empty entry"),
        pytest.param("unknown", 1, PEER, id="no address"),
        pytest.param("192.0.2.7:4711", 1, "192.0.2.7", id="with a port"),
        pytest.param("2001:db8::7", 1, "2001:db8::7", id="IPv6"),
        pytest.param("2001:DB8:0::7", 1, "2001:db8::7", id="IPv6 in other words"),
        pytest.param("[2001:db8::7]", 1, "2001:db8::7", id="IPv6 in brackets"),
        pytest.param("[2001:db8::7]:4711", 1, "2001:db8::7", id="IPv6 with a port"),
        pytest.param("<script>", 1, PEER, id="markup"),
    ],
)
def test_address(forwarded, proxies, address):
    """It is what the outermost trusted proxy says, counted from the right, else the peer's."""
    environ = {"REMOTE_ADDR": PEER}
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    assert client_address(environ, proxies) == address


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        pytest.param("192.0.2.1:5000", "192.0.2.1", id="IPv4"),
        pytest.param("[2001:db8::1]:443", "2001:db8::1", id="IPv6"),
        pytest.param("[2001:db8::1]", "2001:db8::1", id="IPv6 in brackets"),
        pytest.param("2001:db8::1", "2001:db8::1", id="IPv6 alone"),
        pytest.param("unix:", "unix:", id="a socket"),
    ],
)
def test_peer_is_told_without_its_port(peer, address):
    """What stands in front of the app may have written the port into the peer's address."""
    assert client_address({"REMOTE_ADDR": peer}, 0) == address


def test_peer_may_be_unknown():
    """A server that names no peer has no address to tell."""
    assert client_address({}, 0) is None


def test_finish_line_has_the_address_behind_the_proxies(make_app, log_lines):
    """``client_address`` goes by RESILIENCE_TRUSTED_PROXIES."""
    headers = {"X-Forwarded-For": "6.6.6.6, 192.0.2.7"}
    for proxies in (0, 1):
        make_app(trusted_proxies=proxies).test_client().get("/", headers=headers).close()
    direct, behind = log_lines("http.server.request.finish")
    assert (direct["client_address"], behind["client_address"]) == ("127.0.0.1", "192.0.2.7")
