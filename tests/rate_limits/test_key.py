"""What a limit counts by: a client cannot slip into another bucket, nor two run into one."""

from __future__ import annotations

from ipaddress import IPv6Address
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_resilience.rate_limits.key import LONGEST, client_key, joined
from tests.rate_limits.asking import ask, statuses

NETWORK = int(IPv6Address("2001:db8:1:2::"))
TEXTS = st.text(st.sampled_from("a/%2F(),\\:"), max_size=4)
PARTS = st.recursive(TEXTS, lambda parts: st.lists(parts, max_size=3).map(tuple), max_leaves=4)


@pytest.fixture
def app(make_limited):
    """Return an app with one request a minute for each client."""
    app = make_limited(rate_limit="1/minute")
    app.add_url_rule("/", "index", lambda: "")
    return app


def test_256_addresses_of_one_network_share_a_bucket(app):
    """Whoever has an IPv6 network has no more for it."""
    addresses = [str(IPv6Address(NETWORK + number * 2**55)) for number in range(256)]
    answers = [ask(app, address=one).status_code for one in addresses]
    assert answers == [200] + [429] * 255


def test_another_network_has_a_bucket_of_its_own(app):
    """The network next door is not affected."""
    next_door = str(IPv6Address(NETWORK + 2**64))
    assert [ask(app, address=one).status_code for one in ("2001:db8:1:2::1", next_door)] == [
        200,
        200,
    ]


@pytest.mark.parametrize(
    ("address", "key"),
    [
        pytest.param("192.0.2.1", "192.0.2.1", id="IPv4"),
        pytest.param("::ffff:192.0.2.1", "192.0.2.1", id="IPv4 in IPv6"),
        pytest.param("::FFFF:C000:201", "192.0.2.1", id="the same in hexadecimal"),
        pytest.param("2001:DB8:1:2:3::4", "2001:db8:1:2::/64", id="IPv6"),
        pytest.param("fe80::1%eth0", "fe80::/64", id="with a zone"),
        pytest.param("192.0.2.1:5000", "192.0.2.1", id="IPv4 with a port"),
        pytest.param("[2001:db8:1:2::1]:443", "2001:db8:1:2::/64", id="IPv6 with a port"),
        pytest.param("[2001:db8:1:2::1]", "2001:db8:1:2::/64", id="IPv6 in brackets"),
        pytest.param("", "unknown", id="none"),
        pytest.param("unix:", "unix:", id="a socket"),
    ],
)
def test_address_is_told_as(address, key):
    """A client is its address, or the network of it."""
    assert client_key({"REMOTE_ADDR": address}, 0) == key


def test_clients_without_an_address_share_a_bucket(app):
    """Where the server tells no address, as behind a Unix socket, all are counted together."""
    assert client_key({}, 0) == "unknown"


def test_made_up_forwarding_changes_nothing_without_trusted_proxies(app):
    """A client cannot name itself by a header."""
    for number in range(1, 5):
        headers = {
            "X-Forwarded-For": f"198.51.100.{number}",
            "Forwarded": f"for=198.51.100.{number}",
            "X-Real-IP": f"198.51.100.{number}",
        }
        answer = ask(app, headers=headers, address="203.0.113.9")
        assert answer.status_code == (200 if number == 1 else 429)


def test_last_entry_counts_with_one_trusted_proxy(make_limited):
    """The proxy's word is taken, and what a client put before it is not."""
    app = make_limited(rate_limit="1/minute", trusted_proxies=1)
    app.add_url_rule("/", "index", lambda: "")

    def forwarded(text):
        return ask(app, headers={"X-Forwarded-For": text}, address="10.0.0.1").status_code

    assert [forwarded("198.51.100.1"), forwarded("198.51.100.2")] == [200, 200]
    assert [forwarded(f"6.6.6.{number}, 198.51.100.1") for number in range(3)] == [429] * 3


def test_new_port_is_no_new_client(app):
    """Where ``ProxyFix`` takes over an address with its port, each connection is the same client.

    Some proxies write the port into the header, and it is another one for each connection.
    """
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1)
    headers = [{"X-Forwarded-For": f"192.0.2.1:{port}"} for port in (1234, 1235)]
    assert [ask(app, headers=one).status_code for one in headers] == [200, 429]
    assert ask(app, headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 429


@given(PARTS, PARTS)
def test_other_parts_make_another_key(one, other):
    """Whatever slashes, percents or nested parts a key has, no two of them run into one."""
    assert (joined(one) == joined(other)) == (one == other)


@given(st.lists(PARTS, min_size=1, max_size=3), st.lists(PARTS, min_size=1, max_size=3))
def test_other_parts_make_another_key_wherever_they_are_cut(one, other):
    """The same of several parts."""
    assert (joined(*one) == joined(*other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(("a/b", "c"), ("a", "b/c"), id="slashes"),
        pytest.param(("a", "b"), "a/b", id="a tuple and a text"),
        pytest.param("a" * 1000 + "1", "a" * 1000 + "2", id="long ones"),
    ],
)
def test_keys_that_differ_have_buckets_of_their_own(make_limited, resilience, one, other):
    """Two keys are two clients."""
    keys, app = iter([one, one, other, other]), make_limited()
    app.add_url_rule("/", "index", resilience.limit("1/minute", key=lambda: next(keys))(lambda: ""))
    assert statuses(app, ["/"] * 4) == [200, 429, 200, 429]


@pytest.mark.parametrize("key", [None, "", 7, b"\xff\x00", ("user", 7), ()], ids=repr)
def test_any_key_is_counted_by(make_limited, resilience, key):
    """No key is one that means "unlimited"."""
    app = make_limited()
    app.add_url_rule("/", "index", resilience.limit("1/minute", key=lambda: key)(lambda: ""))
    assert statuses(app, ["/"] * 2) == [200, 429]


@pytest.mark.parametrize(
    "make_key",
    [
        pytest.param(object, id="alone"),
        pytest.param(lambda: ("user", object()), id="in a tuple"),
        pytest.param(lambda: [object()], id="in a list"),
        pytest.param(lambda: object().__str__, id="a method that was not called"),
        pytest.param(lambda: ("user", ("of", object())), id="deeper"),
    ],
)
def test_key_without_a_text_of_its_own_is_loud(make_limited, resilience, log_lines, make_key):
    """An object that reads otherwise each time would never be limited, so its request fails."""
    app = make_limited()
    app.add_url_rule("/", "index", resilience.limit("1/minute", key=make_key)(lambda: "secret"))
    assert statuses(app, ["/"] * 3) == [500] * 3
    error = log_lines("http.server.request.exception")[0]
    assert error["exception_type"] == "ConfigurationError"
    assert "has a part of type" in error["exception_message"]


def test_object_with_a_text_of_its_own_is_a_key(make_limited, resilience):
    """What says by its text which one it is can be counted by."""
    app = make_limited()

    def key():
        return UUID(int=7)

    app.add_url_rule("/", "index", resilience.limit("1/minute", key=key)(lambda: ""))
    assert statuses(app, ["/"] * 2) == [200, 429]


def test_clients_key_and_own_key_never_meet(make_limited, resilience):
    """A key function that gives a client's address does not count with that client."""
    app = make_limited()
    by_key = resilience.limit("1/minute", scope="one", key=lambda: "192.0.2.1")(lambda: "")
    app.add_url_rule("/key", "key", by_key)
    app.add_url_rule("/client", "client", resilience.limit("1/minute", scope="one")(lambda: ""))
    assert statuses(app, ["/key", "/client"]) == [200, 200]


@given(st.text(min_size=LONGEST))
def test_long_key_is_hashed(text):
    """Nobody fills the storage with a long key, whatever is in it."""
    assert len(joined("key", text)) <= LONGEST
