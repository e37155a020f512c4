"""Whatever is logged becomes one line of JSON."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_resilience.telemetry.encoding import encode


class Broken:
    """An object that cannot even be described."""

    def __repr__(self):
        raise RuntimeError("no")


CYCLE: list = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(float("nan"), "nan", id="NaN"),
        pytest.param(float("inf"), "inf", id="infinity"),
        pytest.param(b"\xff", "b'\\xff'", id="bytes"),
        pytest.param(datetime(2026, 1, 2), "datetime.datetime(2026, 1, 2, 0, 0)", id="a date"),
        pytest.param(CYCLE, "[[...]]", id="a cycle"),
        pytest.param(Broken(), "<Broken: repr raised RuntimeError>", id="no repr"),
        pytest.param("\ud800", "\ud800", id="a lone surrogate"),
        pytest.param("a\nb\u2028", "a\nb\u2028", id="line ends"),
        pytest.param([1, {"a": None}], [1, {"a": None}], id="plain JSON"),
        pytest.param({1: 2}, {"1": 2}, id="a number as key"),
        pytest.param({(1,): 2}, "{(1,): 2}", id="a tuple as key"),
    ],
)
def test_value_is_told_on_one_line(value, shown):
    """A value that JSON has no word for is described, and the others stay as they are."""
    line = encode({"x": value, "ok": 1})
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line) == {"x": shown, "ok": 1}


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text() | st.binary(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
            ),
            max_leaves=5,
        ),
        max_size=4,
    )
)
def test_any_fields_make_one_valid_line(fields):
    """No value raises, and every line parses to the same fields."""
    assert set(json.loads(encode(fields))) == set(fields)
