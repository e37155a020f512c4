"""No secret is shown, and nothing else is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    value = {"items": [{"token": 5}, "http://u:p@h/"], "n": 1, "t": ("a",)}
    assert redact(value) == {
        "items": [{"token": "[redacted]"}, "http://[redacted]@h/"],
        "n": 1,
        "t": ["a"],
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
