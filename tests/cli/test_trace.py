"""Which lines belong to a request."""

from __future__ import annotations

import pytest

from flask_resilience.cli import trace
from flask_resilience.cli.source import Source
from tests.cli import story

OTHER_TRACE = "9" * 32


def find(path, wanted, *logs):
    """Return what is found of an ID in logs made of lines."""
    names = [story.write(path / f"{number}.log", lines) for number, lines in enumerate(logs)]
    return trace.find([Source(name) for name in names], wanted)


def events(found):
    """Return the services and events that were found."""
    return [(one.text("service"), one.event) for one in found.records]


@pytest.mark.parametrize("wanted", [story.REQUEST_ID, story.TRACE_ID])
def test_lines_in_the_order_of_time(tmp_path, wanted):
    """By either ID all lines are found, whatever the order of files and lines."""
    shuffled = story.SHOP_LINES[::-1]
    found = find(tmp_path, wanted, story.BILLING_LINES, shuffled)
    times = [one.time for one in found.records]
    assert len(times) == 9
    assert times == sorted(times)


def test_a_service_with_an_id_of_its_own(tmp_path):
    """A service that gave the request another ID is found by the trace, also in an earlier file."""
    renamed = [{**one, "request_id": "other"} for one in story.BILLING_LINES]
    found = find(tmp_path, story.REQUEST_ID, renamed, story.SHOP_LINES)
    assert ("billing", "http.server.request.finish") in events(found)


def test_a_service_without_traces_behind_it(tmp_path):
    """From an ID that the trace led to, it goes on to a service that knows no traces."""
    renamed = [{**one, "request_id": "other"} for one in story.BILLING_LINES]
    old = {"trace_id": None, "span_id": None, "request_id": "other"}
    ledger = [story.finish(37, 1.0, "ledger", **old)]
    found = find(tmp_path, story.REQUEST_ID, ledger, renamed, story.SHOP_LINES)
    assert ("ledger", "http.server.request.finish") in events(found)


def test_an_id_used_again_leads_nowhere_else(tmp_path):
    """What has the trace's request ID but another trace belongs to another request."""
    again = [story.finish(90, 5.0, trace_id=OTHER_TRACE)]
    assert len(find(tmp_path, story.TRACE_ID, story.SHOP_LINES, again).records) == 7


def test_an_id_within_another_value(tmp_path):
    """A line that merely mentions the ID is not one of the request."""
    mentions = story.line("asked", 5, request_id="r9", trace_id=OTHER_TRACE, of="checkout-7")
    longer = story.line("asked", 5, request_id="checkout-77", trace_id=OTHER_TRACE)
    assert find(tmp_path, story.REQUEST_ID, [mentions, longer]).records == []


def test_a_file_given_twice(tmp_path):
    """The same line in two files is one line."""
    assert len(find(tmp_path, story.TRACE_ID, story.SHOP_LINES, story.SHOP_LINES).records) == 7


def test_only_lines_with_the_id_are_parsed(tmp_path, monkeypatch):
    """Lines without the ID cost no parsing."""
    parsed = []
    monkeypatch.setattr(trace, "parse_record", parsed.append)
    others = [
        story.line("paid", 1, request_id=f"r{number}", trace_id="a" * 32) for number in range(500)
    ]
    find(tmp_path, story.REQUEST_ID, others[:250] + story.SHOP_LINES[:1] + others[250:])
    assert len(parsed) == 1


def test_garbage_is_counted_once(tmp_path):
    """Lines that are no JSON are counted, and only in the first reading."""
    log = tmp_path / "app.log"
    log.write_bytes(
        b"text\n" + story.encoded(story.SHOP_LINES) + b'{"request_id": "checkout-7", "ev\n'
    )
    found = trace.find([Source(str(log))], story.REQUEST_ID)
    assert (len(found.records), found.not_json) == (7, 2)


def test_a_request_without_end_is_cut(tmp_path, monkeypatch):
    """Of a request with more lines than memory has room for, the first ones are kept."""
    monkeypatch.setattr(trace, "MOST_RECORDS", 5)
    found = find(tmp_path, story.REQUEST_ID, story.SHOP_LINES)
    assert (len(found.records), found.is_cut) == (5, True)


def test_lines_without_a_time_are_left_out(tmp_path):
    """A line that does not say when it was written has no place in the tree, and is counted."""
    found = find(tmp_path, story.REQUEST_ID, [{"event": "x", "request_id": "checkout-7"}])
    assert (found.records, found.undated) == ([], 1)
