"""No secret is shown, and nothing else is lost."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_resilience.telemetry import redaction
from flask_resilience.telemetry.redaction import is_secret_name, redact, redact_text


@pytest.mark.parametrize(
    "name",
    [
        *("password", "db_password", "Passwd", "client_secret", "access_token", "accessToken"),
        *("X-Api-Key", "apikey", "API_KEY", "Authorization", "X-Auth-Token", "session_id"),
        *("Set-Cookie", "X-Amz-Signature", "sig", "userpassword", "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_secret_name(name):
    """A name that looks secret is known as such."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["author", "tokens", "max_tokens", "design", "keyboard", "x", "url", "service", "page"]
)
def test_harmless_name(name):
    """A name that merely resembles a secret one is not."""
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param(
            "http://u:p@h/?token=a&x=1", "http://[redacted]@h/?token=[redacted]&x=1", id="URL"
        ),
        pytest.param("http://u@h/", "http://[redacted]@h/", id="user without password"),
        pytest.param("?api%5Fkey=abc", "?api%5Fkey=[redacted]", id="percent-encoded name"),
        pytest.param(
            "url=http://h/?secret=a", "url=http://h/?secret=[redacted]", id="within another value"
        ),
        pytest.param("Authorization: Bearer abc.def", "Authorization: [redacted]", id="header"),
        pytest.param("got Bearer abcdefg8", "got Bearer [redacted]", id="bearer token alone"),
        pytest.param(
            "{'password': 'a b', 'x': 1}", "{'password': '[redacted]', 'x': 1}", id="a dict"
        ),
        pytest.param("a=1&b=2", "a=1&b=2", id="nothing secret"),
        pytest.param("mail to me@example.org", "mail to me@example.org", id="an address"),
    ],
)
def test_text(text, shown):
    """Secrets in text give way to a mark; the rest stays."""
    assert redact_text(text) == shown


def test_nested_values():
    """Mappings and lists are searched, by name and by text."""
    value = {"items": [{"token": 5}, "http://u:p@h/"], "n": 1, "t": ("a",), "h": [("Cookie", "s")]}
    assert redact(value) == {
        "items": [{"token": "[redacted]"}, "http://[redacted]@h/"],
        "n": 1,
        "t": ["a"],
        "h": [["Cookie", "[redacted]"]],
    }


@given(st.text(alphabet=st.sampled_from("abc:/@?&=[] 'token\n"), max_size=200))
def test_redacting_twice_changes_nothing(text):
    """What is redacted stays as it is."""
    once = redact_text(text)
    assert redact_text(once) == once


@given(secret=st.from_regex(r"[A-Za-z0-9_\-]{8,40}", fullmatch=True))
def test_no_secret_survives_in_a_url(secret):
    """Whatever the secret, it is not shown."""
    mark = "Zq" + secret + "Zq"
    assert mark not in redact_text(f"GET https://user:{mark}@host/v1?a=1&access_token={mark}&b=2")


@pytest.mark.parametrize(
    "text",
    [
        "Cookie: a=SECRET; b=SECRET",
        "Authorization: Token SECRET",
        'Authorization: Digest username="bob", response="SECRET"',
        "{'Authorization': 'Basic SECRET', 'x': 1}",
        '{"password":"SECRET SECRET"}',
        '{"password": "a\\"SECRET"}',
        '{\\"password\\": \\"SECRET\\"}',
        "{'api_key': b'SECRET'}",
        "[('password', 'SECRET')]",
        '{"token": ["SECRET"]}',
        "password=[SECRET]",
        "https://user:p@SECRET@host/",
        "access_token%3DSECRET",
        "X-Amz-Signature=SECRET&x=1",
        "Set-Cookie: id=SECRET; Path=/",
        "url=https://h/?a=1&client_secret=SECRET",
        "token = SECRET",
        "PASSWORD='SECRET'",
        "GET /x?token=abc,SECRET",
        "GET /x?a=1&token=abc(SECRET)",
        "key=-----BEGIN RSA PRIVATE KEY-----\nSECRET\nSECRET\n-----END RSA PRIVATE KEY-----",
        "https://" + "SECRET" * 100 + "@host/",
    ],
)
def test_secret_of_every_shape_is_taken_out(text):
    """Secrets as they come in real messages are not shown."""
    assert "SECRET" not in redact_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "Basic information about the order",
        "Bearer authentication failed",
        "tests/test_auth.py:12: AssertionError",
        "def login(password: str) -> None:",
        'if token == "x":',
        "GET /authors?page=2 HTTP/1.1",
        "max_tokens=100",
        "https://api.example?email=joe@example.com",
    ],
)
def test_ordinary_text_stays_as_it_is(text):
    """Words that merely resemble a secret ruin no message."""
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "a" * 10**6 + "=",
        "://" + "a" * 10**6 + " @",
        "a='" * 10**5,
        "Cookie: " * 10**5,
        "\\" * 10**6,
        'cookie="' + "\\" * 10**5,
    ],
    ids=["name", "user", "quotes", "headers", "backslashes", "quoted backslashes"],
)
def test_work_grows_with_the_text_and_no_faster(text):
    """A hostile megabyte costs about twice what half of it does."""

    def cost(part):
        started = time.process_time()
        redact_text(part)
        return time.process_time() - started

    assert cost(text) < 8 * max(cost(text[: len(text) // 2]), 0.02)


def test_long_names_are_not_remembered():
    """Names that clients make up fill no memory."""
    before = redaction._is_remembered_secret.cache_info().currsize  # noqa: SLF001
    assert redaction.is_secret_name("a_" * 500 + "token")
    assert redaction._is_remembered_secret.cache_info().currsize == before  # noqa: SLF001
