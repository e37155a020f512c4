"""Which IDs are taken from the client, and which are not."""

from __future__ import annotations

import pytest

from flask_resilience.inbound.request_id import accept_request_id


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("a", id="one character"),
        pytest.param("x" * 128, id="128 characters"),
        pytest.param("AZaz09._:@=+-", id="every kind of character"),
        pytest.param("3f2504e0-4f89-11d3-9a0c-0305e82c3301", id="a UUID"),
    ],
)
def test_well_formed_id_is_kept(value):
    """A good ID is used unchanged."""
    assert accept_request_id(value) == value


def test_surrounding_blanks_do_not_count():
    """Blanks around a header's value are no part of it."""
    assert accept_request_id("\t abc ") == "abc"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="absent"),
        pytest.param("", id="empty"),
        pytest.param("x" * 129, id="129 characters"),
        pytest.param("x" * 8000, id="8,000 characters"),
        pytest.param("a,b", id="repeated header"),
        pytest.param("a b", id="space"),
        pytest.param("a\r\nSet-Cookie: x", id="line break"),
        pytest.param("a\n", id="line break at the end"),
        pytest.param("a\x00", id="control byte"),
        pytest.param("ä", id="non-ASCII"),
        pytest.param("٣", id="digit of another script"),
        pytest.param("<script>", id="markup"),
        pytest.param('"quoted"', id="quotes"),
    ],
)
def test_anything_else_is_not_taken(value):
    """An ID that is absent or malformed is none."""
    assert accept_request_id(value) is None
