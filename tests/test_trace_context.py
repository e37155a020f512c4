"""The two headers of W3C Trace Context, read and written by every rule of Level 2."""

from __future__ import annotations

import re
import string

import pytest

from flask_resilience.trace_context import (
    LONGEST_STATE,
    Span,
    begin_trace,
    parse_traceparent,
    parse_tracestate,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
KEY_CHARACTERS = string.ascii_lowercase + string.digits + "_-*/@"
VALUE_CHARACTERS = "".join(chr(one) for one in range(0x20, 0x7F) if chr(one) not in ",=")


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        pytest.param(f"00-{TRACE}-{PARENT}-01", 1, id="sampled"),
        pytest.param(f"00-{TRACE}-{PARENT}-00", 0, id="not sampled"),
        pytest.param(f"00-{TRACE}-{PARENT}-02", 2, id="random"),
        pytest.param(f"00-{TRACE}-{PARENT}-03", 3, id="sampled and random"),
        pytest.param(f"00-{TRACE}-{PARENT}-ff", 3, id="flags that are reserved"),
        pytest.param(f" \t00-{TRACE}-{PARENT}-01\t ", 1, id="blanks around it"),
        pytest.param(f"cc-{TRACE}-{PARENT}-01", 1, id="later version"),
        pytest.param(f"cc-{TRACE}-{PARENT}-01-", 1, id="later version, empty field more"),
        pytest.param(f"cc-{TRACE}-{PARENT}-01-what-comes", 1, id="later version, fields more"),
        pytest.param(f"01-{TRACE}-{PARENT}-09", 1, id="later version, unknown flag"),
    ],
)
def test_well_formed_traceparent_is_read(value, flags):
    """The trace ID, the parent's ID and the two known flags are taken from it."""
    assert parse_traceparent(value) == Span(TRACE, PARENT, None, flags)


def test_one_digit_that_is_no_zero_makes_an_id():
    """Only IDs of nothing but zeros are forbidden."""
    least = Span("0" * 31 + "1", "1" + "0" * 15, None, 0)
    assert parse_traceparent(least.traceparent) == least


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param(f"ff-{TRACE}-{PARENT}-01", id="forbidden version"),
        pytest.param(f"0-{TRACE}-{PARENT}-01", id="short version"),
        pytest.param(f"000-{TRACE}-{PARENT}-01", id="long version"),
        pytest.param(f".0-{TRACE}-{PARENT}-01", id="version of other characters"),
        pytest.param(f"CC-{TRACE}-{PARENT}-01", id="version in capitals"),
        pytest.param(f"00-{TRACE}-{PARENT}-01.", id="first version, a character more"),
        pytest.param(f"00-{TRACE}-{PARENT}-01-", id="first version, an empty field more"),
        pytest.param(f"00-{TRACE}-{PARENT}-01-more", id="first version, a field more"),
        pytest.param(f"cc-{TRACE}-{PARENT}-01.more", id="later version, more without a dash"),
        pytest.param(f"cc-{TRACE}-{PARENT}", id="later version, too short"),
        pytest.param(f"cc-{TRACE}-{PARENT}-1", id="later version, short flags"),
        pytest.param(f"00-{'0' * 32}-{PARENT}-01", id="trace ID of zeros"),
        pytest.param(f"00-{TRACE[1:]}-{PARENT}-01", id="short trace ID"),
        pytest.param(f"00-{TRACE}0-{PARENT}-01", id="long trace ID"),
        pytest.param(f"00-{TRACE.upper()}-{PARENT}-01", id="trace ID in capitals"),
        pytest.param(f"00-.{TRACE[1:]}-{PARENT}-01", id="trace ID of other characters"),
        pytest.param(f"00-{TRACE}-{'0' * 16}-01", id="parent ID of zeros"),
        pytest.param(f"00-{TRACE}-{PARENT[1:]}-01", id="short parent ID"),
        pytest.param(f"00-{TRACE}-{PARENT}0-01", id="long parent ID"),
        pytest.param(f"00-{TRACE}-{PARENT.upper()}-01", id="parent ID in capitals"),
        pytest.param(f"00-{TRACE}-{PARENT[:-1]}.-01", id="parent ID of other characters"),
        pytest.param(f"00-{TRACE}-{PARENT}-1", id="short flags"),
        pytest.param(f"00-{TRACE}-{PARENT}-001", id="long flags"),
        pytest.param(f"00-{TRACE}-{PARENT}-.0", id="flags of other characters"),
        pytest.param(f"00-{TRACE}-{PARENT}-0A", id="flags in capitals"),
        pytest.param(f"00-{TRACE}-{PARENT}-01\n", id="line break at the end"),
        pytest.param(f"00-{TRACE}-{PARENT}-01,00-{TRACE}-{PARENT}-01", id="repeated"),
        pytest.param(
            f"cc-{TRACE}-{PARENT}-01-a,cc-{TRACE}-{PARENT}-01", id="repeated, later version"
        ),
        pytest.param(f"00_{TRACE}_{PARENT}_01", id="other marks between the fields"),
        pytest.param(f"00-{TRACE[:-1]}\u0663-{PARENT}-01", id="digit of another script"),
    ],
)
def test_malformed_traceparent_is_none(value):
    """Whatever breaks a rule begins a new trace."""
    assert parse_traceparent(value) is None


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        pytest.param("foo=1", "foo=1", id="one member"),
        pytest.param("foo=1,bar=2", "foo=1,bar=2", id="order stays"),
        pytest.param("foo=1 \t , \tbar=2\t", "foo=1,bar=2", id="blanks around members"),
        pytest.param("foo=  1", "foo=  1", id="blanks that lead a value"),
        pytest.param("", "", id="empty"),
        pytest.param(" ,\t,", "", id="empty members alone"),
        pytest.param("foo=1,,bar=2,", "foo=1,bar=2", id="empty members between"),
        pytest.param("foo=1,foo=2,bar=3", "foo=1,bar=3", id="key twice"),
        pytest.param("0foo=1", "0foo=1", id="digit first"),
        pytest.param("tenant@system=1", "tenant@system=1", id="key of a tenant"),
        pytest.param("foo@=1,a@@b@c=2", "foo@=1,a@@b@c=2", id="at signs anywhere but first"),
        pytest.param(f"a{KEY_CHARACTERS}=1", f"a{KEY_CHARACTERS}=1", id="all that a key may hold"),
        pytest.param(f"a={VALUE_CHARACTERS}", f"a={VALUE_CHARACTERS}", id="all of a value"),
        pytest.param("z" * 256 + "=1", "z" * 256 + "=1", id="key of 256"),
        pytest.param("a=" + "v" * 256, "a=" + "v" * 256, id="value of 256"),
    ],
)
def test_well_formed_tracestate_is_handed_on(value, kept):
    """Members stay as they are and where they are, but for blanks and repetitions."""
    assert parse_tracestate(value) == kept


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("foo", id="no value"),
        pytest.param("foo=", id="empty value"),
        pytest.param("=1", id="empty key"),
        pytest.param("foo =1", id="blank in a key"),
        pytest.param("FOO=1", id="key in capitals"),
        pytest.param("foo.bar=1", id="dot in a key"),
        pytest.param("@foo=1", id="at sign first"),
        pytest.param("_foo=1", id="underscore first"),
        pytest.param("foo=bar=baz", id="two equals signs"),
        pytest.param("foo=a\tb", id="tab within a value"),
        pytest.param("foo=a\x7f", id="control character"),
        pytest.param("foo=\u00e9", id="not ASCII"),
        pytest.param("z" * 257 + "=1", id="key of 257"),
        pytest.param("a=" + "v" * 257, id="value of 257"),
    ],
)
def test_malformed_tracestate_is_dropped_whole(value):
    """One malformed member costs them all."""
    assert parse_tracestate(value) == ""
    assert parse_tracestate(f"good=1,{value}") == ""
    assert parse_tracestate(f"{value},good=1") == ""


def test_tracestate_has_at_most_32_members():
    """The 33rd costs them all; empty ones do not count."""
    members = [f"m{number}={number}" for number in range(33)]
    assert parse_tracestate(",".join(members[:32]) + ",,") == ",".join(members[:32])
    assert parse_tracestate(",".join(members)) == ""


def test_long_tracestate_loses_large_members_first_then_the_last_ones():
    """What is left of one that is too long is whole members, and at least 512 characters."""
    small = [f"s{number:02}={'v' * 90}" for number in range(30)]
    kept = parse_tracestate(",".join(["a=" + "v" * 200, *small]))
    assert 512 <= len(kept) <= LONGEST_STATE
    assert kept == ",".join(small[: len(kept.split(","))])
    large = [f"l{number}={'v' * 250}" for number in range(9)]
    kept = parse_tracestate(",".join([*large, "small=1"]))
    assert kept == ",".join([*large[: kept.count(",")], "small=1"])


def test_new_trace_has_ids_of_the_right_form():
    """It is sampled and random, and no two are alike."""
    made = begin_trace()
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-03", made.traceparent)
    assert parse_traceparent(made.traceparent) == made
    assert begin_trace().trace_id != made.trace_id


def test_child_stays_in_the_trace():
    """A child has a span ID of its own; trace, flags and state are its parent's."""
    parent = Span(TRACE, PARENT, None, 1, "foo=1")
    child = parent.child()
    assert child == (TRACE, child.span_id, PARENT, 1, "foo=1")
    assert re.fullmatch("[0-9a-f]{16}", child.span_id)
    assert child.span_id != parent.child().span_id
