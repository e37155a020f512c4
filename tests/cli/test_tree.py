"""A request as a tree over services, and what is missing in it."""

from __future__ import annotations

import pytest

from flask_resilience.cli.join import join
from flask_resilience.cli.output import Output
from flask_resilience.cli.record import Record
from flask_resilience.cli.tree import requests_of
from flask_resilience.cli.tree_view import heading, tree_json, tree_lines
from tests.cli import story
from tests.cli.story import BILLING, FIRST, SECOND, SHOP_LINES, attempt, call, finish, line

OUTPUT = Output(None, is_terminal=False)


def roots(*lines):
    """Return the trees of lines."""
    records = [Record(one, b"") for one in lines]
    return join(requests_of(sorted(records, key=lambda one: one.time)))


def drawn(*lines):
    """Return the trees of lines without offsets, a string for each line."""
    return [one.split(" ms  ", 1)[1].strip() for one in tree_lines(roots(*lines), OUTPUT)]


def test_a_request_over_two_services():
    """Calls, attempts, waits, circuit changes and the other service's lines have their places."""
    found = roots(*SHOP_LINES, *story.BILLING_LINES)
    assert "\n".join([heading(found, OUTPUT), *tree_lines(found, OUTPUT), ""]) == story.TREE


def test_without_spans_it_is_the_same_tree():
    """Services that know request IDs alone are joined by time, which is said."""
    lines = story.without_spans(SHOP_LINES + story.BILLING_LINES)
    joined = "├─ billing: GET /v1 -> 200 ok, 5.0 ms (joined by its time, not by a span)"
    expected = [one.split(" ms  ", 1)[1] for one in story.TREE.splitlines()[1:]]
    got = drawn(*lines)
    assert [one.split(" (joined")[0] for one in got] == [one.strip() for one in expected]
    assert joined.replace("├", "└") in "\n".join(got)


def test_without_spans_each_finish_line_is_a_request():
    """Two requests with one ID in one process are told apart by their finish lines."""
    old = {"trace_id": None, "span_id": None}
    lines = [finish(10, 5.0, **old), line("late", 18, **old), finish(20, 5.0, **old)]
    assert [len(one.children) for one in roots(*lines)] == [0, 1]


def test_an_attempt_belongs_to_the_request_of_its_call():
    """An attempt's line is placed by its call even if its parent is that of the whole request."""
    lines = [attempt(11, 1, 9.0, FIRST, parent_span_id="e" * 16), call(12, 10.0, attempts=1)]
    gateway = finish(13, 13.0, parent_span_id="e" * 16)
    (found,) = roots(*lines, gateway)
    assert [one.kind for one in found.walk()] == ["request", "call", "attempt"]


@pytest.mark.parametrize(
    ("lines", "missing"),
    [
        pytest.param(
            SHOP_LINES[:-1],
            "shop: request (no finish line of this request here)",
            id="inbound finish",
        ),
        pytest.param(
            [one for one in SHOP_LINES if one["event"] != "http.client.finish"],
            "├─ call to billing (no finish line of this call here)",
            id="call finish",
        ),
        pytest.param(
            [*SHOP_LINES, *story.BILLING_LINES],
            "│  ├─ attempt 1 of 4: GET http://billing/v1 -> 503, 9.0 ms (no line of billing here)",
            id="the other service, which another attempt shows",
        ),
        pytest.param(
            story.BILLING_LINES,
            "billing: GET /v1 -> 200 ok, 5.0 ms "
            "(no line of span 2222222222222222, which caused it, here)",
            id="the caller",
        ),
        pytest.param(
            [one for one in SHOP_LINES if one["event"] != "http.client.attempt"],
            "│  ├─ attempt 1 (no line of this attempt here)",
            id="failed attempt",
        ),
    ],
)
def test_what_is_missing_is_said(lines, missing):
    """Where a line should be and is not, the tree says which."""
    assert missing in drawn(*lines)


def test_nothing_is_missing_in_a_whole_request():
    """A request of which every line is there has no such note."""
    first = finish(10, 5.0, "billing", http_route="/v1", parent_span_id=FIRST, span_id="4" * 16)
    notes = [
        note
        for root in roots(*SHOP_LINES, *story.BILLING_LINES, first)
        for node in root.walk()
        for note in node.notes
    ]
    assert notes == []


def test_a_service_nobody_shows_is_not_missed():
    """An upstream whose service is unknown here may have no logs at all."""
    assert not any("no line of" in one for one in drawn(*SHOP_LINES))


def test_good_attempts_without_a_line_join_by_time():
    """At level info a good attempt has no line; the request it caused hangs in its place."""
    at_info = [one for one in SHOP_LINES if one["level"] != "debug"]
    got = drawn(*at_info, *story.BILLING_LINES)
    at = got.index("│  └─ attempt 2 (no line of this attempt here)")
    assert got[at + 1].startswith("│     └─ billing: GET /v1 -> 200 ok, 5.0 ms (joined by its time")


def test_spans_that_form_a_ring():
    """Forged spans that lead round in a circle still make a tree."""
    back = attempt(30, 1, 20.0, "a" * 16, service="billing", call_id="c2", parent_span_id=BILLING)
    ring = [finish(43, 43.0, parent_span_id="a" * 16), *SHOP_LINES[:-1], *story.BILLING_LINES, back]
    found = roots(*ring)
    assert len(found) == 1
    assert sum(node.kind == "request" for node in found[0].walk()) == 2


def test_lines_without_anything():
    """Lines that hold the ID and nothing else are told, too."""
    assert drawn({"timestamp": "2026-11-22T07:53:20Z", "event": "x", "request_id": "r1"}) == [
        "a service: request (no finish line of this request here)",
        "└─ x",
    ]


@pytest.mark.parametrize(
    "field", ["duration_ms", "wait_ms", "attempts", "attempt", "next_attempt", "pid", "span_id"]
)
@pytest.mark.parametrize("value", ["x", None, [], {}, True, -1, 1e300, 10**30, float("nan")])
def test_wrong_types_are_no_error(field, value):
    """Fields of types that we never write make an odd tree, but a tree."""
    assert drawn(*({**one, field: value} for one in SHOP_LINES + story.BILLING_LINES))


def test_values_cannot_steer_the_terminal():
    """Control characters in any field appear escaped."""
    evil = "\x1b]0;x\x07\r\n\x9b2J\u202e"
    lines = [
        {name: evil if name in SAID else one[name] for name in one}
        for one in SHOP_LINES + story.BILLING_LINES
    ]
    found = roots(*lines)
    assert all(one.isprintable() for one in [heading(found, OUTPUT), *tree_lines(found, OUTPUT)])


SAID = {
    "service",
    "request_id",
    "http_route",
    "outcome",
    "reason",
    "upstream",
    "url_full",
    "circuit_state",
    "from_state",
    "http_request_method",
    "parent_span_id",
}


def test_the_tree_for_machines():
    """The JSON form holds the same tree, with the lines it is made of."""
    (request,) = tree_json(roots(*SHOP_LINES, *story.BILLING_LINES))["requests"]
    made, _ = request["children"]
    kinds = [(one["kind"], one["offset_ms"]) for one in made["children"]]
    assert kinds == [("attempt", 2.0), ("circuit", 10.5), ("wait", 11.0), ("attempt", 32.0)]
    assert made["children"][0]["missing"] == ["no line of billing here"]
    assert made["children"][3]["span"] == SECOND
    assert request["line"]["event"] == "http.server.request.finish"
    assert made["children"][3]["children"][0]["service"] == "billing"
