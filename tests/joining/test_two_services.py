"""A shop that calls billing: the trace of a request joins the logs of both."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from flask_resilience.testing import ScriptedUpstream
from tests.joining.serving import FINISH

ROOT = Path(__file__).parent.parent.parent
ATTEMPT, CALL = "http.client.attempt", "http.client.finish"


@pytest.fixture(scope="module", params=["DEBUG", "INFO"])
def visited(request, start_billing, start_shop):
    """Return the level and both logs after two requests, one of which also went elsewhere."""
    with start_billing() as billing, start_shop(billing.url, request.param) as shop:
        assert shop.get("/orders/7", "visit-7").json() == {"number": 7}
        with ScriptedUpstream(503, 200) as silent:
            assert shop.get(f"/elsewhere/{silent.url}/", "visit-8").text == "200"
        shop.end()
        billing.end()
        yield SimpleNamespace(
            level=request.param,
            shop=shop.folder / "out",
            billing=billing.folder / "out",
            silent=silent.url,
        )


def trace(request_id, *logs, options=()):
    """Return what the command says of a request."""
    command = [sys.executable, "-m", "flask_resilience", "trace", *options, request_id, *logs]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def walk(nodes, kind):
    """Return the nodes of one kind, at any depth, in the order they are drawn."""
    found = []
    for node in nodes:
        found += [node] if node["kind"] == kind else []
        found += walk(node["children"], kind)
    return found


def attempts(request_id, *logs):
    """Return the attempts of a request that has one tree."""
    (request,) = json.loads(trace(request_id, *logs, options=["--json"]))["requests"]
    return walk([request], "attempt")


def answered(attempt):
    """Return the status and the answers of billing below an attempt."""
    return [one["line"]["http_response_status_code"] for one in walk([attempt], "request")]


def times_asked(attempt):
    """Return what billing's view logged below an attempt."""
    return [one["line"]["time"] for one in walk([attempt], "line") if "time" in one["line"]]


def cut_out(log, number, folder):
    """Return a copy of billing's log without the lines of one of the requests it served."""
    lines = [json.loads(one) for one in log.read_text().splitlines()]
    finishes = [one for one in lines if one["event"] == FINISH and one["request_id"] == "visit-7"]
    span = finishes[number - 1]["span_id"]
    left = [json.dumps(one) + "\n" for one in lines if one.get("span_id") != span]
    assert len(left) == len(lines) - 2
    (folder / "cut.log").write_text("".join(left))
    return folder / "cut.log"


def test_each_answer_is_below_its_attempt(visited):
    """Billing's three requests, and what its view logged, hang below attempts 1, 2 and 3."""
    made = attempts("visit-7", visited.shop, visited.billing)
    assert [one["attempt"] for one in made] == ["1", "2", "3"]
    assert [answered(one) for one in made] == [[503], [503], [200]]
    assert [times_asked(one) for one in made] == [[1], [2], [3]]


def test_attempts_with_lines_are_joined_by_their_spans(visited):
    """Only where a good attempt has no line, at INFO, is its request joined by its time."""
    made = attempts("visit-7", visited.shop, visited.billing)
    notes = [[one["missing"], walk([one], "request")[0]["missing"]] for one in made]
    last = {
        "DEBUG": [[], []],
        "INFO": [["no line of this attempt here"], ["joined by its time, not by a span"]],
    }
    assert notes == [[[], []], [[], []], last[visited.level]]


def test_order_of_files_changes_nothing(visited):
    """Whichever log is named first, the text is the same."""
    texts = {
        trace("visit-7", visited.shop, visited.billing),
        trace("visit-7", visited.billing, visited.shop),
    }
    assert len(texts) == 1


@pytest.mark.parametrize("number", [1, 2])
def test_attempt_that_billing_says_nothing_of_is_noted(visited, tmp_path, number):
    """Where the lines of one of its requests are gone, that attempt says so, and no other."""
    cut = cut_out(visited.billing, number, tmp_path)
    lines = trace("visit-7", cut, visited.shop).splitlines()
    (noted,) = [one for one in lines if "no line of billing here" in one]
    assert f"attempt {number} of 4" in noted
    made = attempts("visit-7", visited.shop, cut)
    expected = [[503], [503], [200]]
    expected[number - 1] = []
    assert [answered(one) for one in made] == expected


def test_last_attempt_that_billing_says_nothing_of_is_noted(visited, tmp_path):
    """So does a good attempt, whether or not it has a line of its own."""
    made = attempts("visit-7", visited.shop, cut_out(visited.billing, 3, tmp_path))
    assert [answered(one) for one in made] == [[503], [503], []]
    assert "no line of billing here" in made[2]["missing"]


def test_nothing_hangs_below_attempts_at_a_silent_address(visited):
    """A service that logs nothing takes none of billing's lines, whose own attempts keep theirs."""
    made = attempts("visit-8", visited.shop, visited.billing)
    assert [one["upstream"] for one in made] == ["billing"] * 3 + [visited.silent] * 2
    assert [answered(one) for one in made] == [[503], [503], [200], [], []]


@pytest.fixture(scope="module")
def counted(start_shop):
    """Return the lines of five requests to the shop, by ID, and what their upstream was sent."""
    with ScriptedUpstream(*[503, 503, 200] * 5) as upstream:
        upstream.script = [
            type(one)(status=one.status, body=b"{}", delay=0.005) for one in upstream.script
        ]
        with start_shop(upstream.url, "DEBUG") as shop:
            for number in range(5):
                assert shop.get(f"/orders/{number}", f"visit-{number}").status_code == 200
            shop.end()
            lines = [shop.lines(f"visit-{number}") for number in range(5)]
    return lines, upstream.requests


def of(lines, event):
    """Return the lines of one event."""
    return [one for one in lines if one["event"] == event]


def test_one_line_for_each_thing_that_happened(counted):
    """503, 503 and 200 make three attempts with spans of their own, two retries and one finish."""
    for lines in counted[0]:
        made = of(lines, ATTEMPT)
        assert [one["http_response_status_code"] for one in made] == [503, 503, 200]
        assert len({one["span_id"] for one in made}) == 3
        assert [one["attempt"] for one in of(lines, "http.client.retry")] == [1, 2]
        assert [one["attempts"] for one in of(lines, CALL)] == [3]
        assert len({one["call_id"] for one in lines if "call_id" in one}) == 1


def test_parts_of_a_call_sum_up_to_its_duration(counted):
    """Attempts and waits are never longer than the call, and in the best of five 10 ms shorter."""
    left = []
    for lines in counted[0]:
        (call,) = of(lines, CALL)
        parts = [one["duration_ms"] for one in of(lines, ATTEMPT)]
        left.append(call["duration_ms"] - sum(parts) - call["wait_ms"])
        planned = sum(one["wait_ms"] for one in of(lines, "http.client.retry"))
        assert call["wait_ms"] == pytest.approx(planned, abs=0.01)
    assert min(left) >= -0.01
    assert min(left) <= 10


def test_upstream_is_told_the_attempts(counted):
    """Its traceparents are of one trace; their parent IDs are the spans of the attempts' lines."""
    lines, received = counted
    sent = [one.headers["traceparent"].split("-") for one in received]
    assert len(sent) == 15
    for number, own in enumerate(lines):
        three = sent[3 * number : 3 * number + 3]
        assert {one[1] for one in three} == {of(own, FINISH)[0]["trace_id"]}
        assert [one[2] for one in three] == [one["span_id"] for one in of(own, ATTEMPT)]


def test_finish_line_counts_the_attempts(counted):
    """The request's own line has one call, three attempts and two retries."""
    for lines in counted[0]:
        (finish,) = of(lines, FINISH)
        names = ("outbound_calls", "outbound_attempts", "outbound_retries")
        assert [finish[name] for name in names] == [1, 3, 2]
