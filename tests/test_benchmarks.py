"""The benchmarks' harness: what it repeats, compares and shows. What anything costs is no test."""

from __future__ import annotations

import doctest
import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from flask import Flask, has_request_context

from benchmarks import (
    callers,
    gunicorn_server,
    log_file,
    report,
    servers,
    summary,
    surroundings,
)
from benchmarks.counting import calls_into, counting
from benchmarks.gunicorn_server import asking_much, gunicorn, requests_a_second
from benchmarks.harness import Measurement, measure
from benchmarks.log_file import EVERY_FAILURE, LINES_OF_A_REQUEST
from benchmarks.memory import growth
from benchmarks.ours import make_app
from benchmarks.redis_server import redis_server, round_trips
from benchmarks.report import document, table
from benchmarks.row import (
    MICROSECONDS,
    Budget,
    Figure,
    Measure,
    Row,
    UnavailableError,
    Variant,
    calling,
    waiting,
)
from benchmarks.rows import ROWS
from benchmarks.rows.gunicorn import APPS
from benchmarks.rows.inbound import BARE, SERVERS
from benchmarks.rows.inbound_limits import REJECTING, inbound_limits_redis
from benchmarks.rows.inbound_limits import SERVERS as LIMITED_SERVERS
from benchmarks.rows.limit_check import limit_check
from benchmarks.rows.read_logs import TRACE, peak_memory, read_logs
from benchmarks.rows.retry_success import retry_success
from benchmarks.rows.session import CALLERS, GLUED, OURS
from benchmarks.summary import Spread, percentile, summarise
from benchmarks.surroundings import contained, served
from benchmarks.upstream import upstream
from benchmarks.upstream_server import ANSWER, BODY
from flask_resilience.testing import Reply
from tests.servers import redis_executable


class Letting:
    """Stand in for the breaker of pybreaker, which need not be installed here."""

    def __init__(self, **_: float) -> None:
        """Take what it is set up with."""

    def call(self, function, *args):
        """Let every call through."""
        return function(*args)


LIMITED = {name: one for name, one in LIMITED_SERVERS.items() if name != BARE}
TOLD = ("RateLimit", "X-RateLimit-Remaining")
"""Where a client is told how its limit stands, by ours and by Flask-Limiter."""


@pytest.fixture
def _redis_server_on_path(monkeypatch):
    folder = Path(redis_executable()).parent
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def _any_pybreaker(monkeypatch):
    monkeypatch.setitem(sys.modules, "pybreaker", SimpleNamespace(CircuitBreaker=Letting))


def missing() -> Figure:
    """Raise as what is not installed does."""
    raise UnavailableError("no server")


def toy_row(**changes: object) -> Row:
    """Return a row of two variants that say themselves how long they take, and of one missing."""
    values: dict[str, object] = {
        "title": "toys",
        "unit": MICROSECONDS,
        "reference": "slow",
        "variants": (
            Variant("fast", lambda _: lambda times: times * 1e-6),
            Variant("slow", lambda _: lambda times: times * 4e-6),
            Variant("absent", lambda _: missing()),
        ),
        "budgets": (
            Budget("fast", 2.0),
            Budget("fast", 0.2, Measure.RATIO, "slow"),
            Budget("slow", 3.0, Measure.DIFFERENCE, "fast", at_least=True),
            Budget("slow", 1.0, Measure.RATIO, "absent"),
        ),
        "operations": 10,
        "figures": {"growth": lambda: Figure(3.0, "B", 4.0, "of a toy"), "lost": missing},
    }
    return Row(**{**values, **changes})


def test_every_variant_is_measured_in_every_round():
    """What cannot be set up is left out with its reason, and the others go on."""
    measured = measure(toy_row(), rounds=3)
    assert {name: len(one) for name, one in measured.seconds.items()} == {"fast": 3, "slow": 3}
    assert measured.operations == {"fast": 10, "slow": 10}
    assert measured.left_out == {"absent": "no server", "lost": "no server"}


def test_order_is_shuffled_but_the_same_each_time():
    """Rounds differ in their order, runs do not."""

    def order_of_a_run() -> str:
        order: list[str] = []

        def variant(name: str) -> Variant:
            return Variant(name, lambda _: lambda times: float(bool(order.append(name)) + 1))

        row = toy_row(variants=tuple(map(variant, "abc")), budgets=(), figures={}, reference="a")
        measure(row, rounds=3)
        return "".join(order)

    order = order_of_a_run()
    rounds = {order[start : start + 3] for start in range(0, 9, 3)}
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(rounds) > 1
    assert order_of_a_run() == order


def test_set_up_is_undone_at_the_end():
    """What a variant puts on the stack ends with its row."""
    ended: list[str] = []

    def prepare(stack):
        stack.callback(ended.append, "ended")
        return lambda times: 1.0

    measure(toy_row(variants=(Variant("slow", prepare),)), rounds=1)
    assert ended == ["ended"]


def test_a_batch_takes_about_as_long_as_it_should():
    """Without a given number, operations are as many as fit into a batch."""
    row = toy_row(operations=None, batch_seconds=0.001)
    assert measure(row, rounds=1).operations == {"fast": 1000, "slow": 250}


def test_ratios_are_taken_within_a_round():
    """A round in which all is slow changes no ratio."""
    measured = Measurement(
        row=toy_row(),
        rounds=3,
        seconds={"fast": [1e-6, 9e-6, 2e-6], "slow": [4e-6, 36e-6, 8e-6]},
        operations={"fast": 1, "slow": 1},
        figures={},
        left_out={},
    )
    fast, slow = summarise(measured)
    assert fast.value.median == pytest.approx(2.0)
    assert (fast.ratio.p10, fast.ratio.median, fast.ratio.p90) == pytest.approx((0.25,) * 3)
    assert [one.met for one in fast.verdicts] == [True, False]
    assert slow.verdicts[0].measured.median == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        pytest.param([5.0], 0.9, 5.0, id="one value"),
        pytest.param([1.0, 2.0], 0.5, 1.5, id="between two"),
        pytest.param([9.0, *map(float, range(9))], 0.1, 0.9, id="unordered"),
        pytest.param([1.0, 2.0, 3.0], 1.0, 3.0, id="the largest"),
    ],
)
def test_percentile(values, share, expected):
    """Between two values, it lies in proportion."""
    assert percentile(values, share) == pytest.approx(expected)


def test_table_shows_budgets_and_what_is_missing():
    """A line for each variant and figure, with its budgets and whether each is met."""
    lines = table("toy", measure(toy_row(), rounds=2)).splitlines()
    assert lines[0] == "toy: toys (2 rounds, too few to judge by)"
    assert [" ".join(line.split()) for line in lines[1:6]] == [
        "µs a call p10..p90 x slow p10..p90 budget met",
        "fast 1.00 1.00..1.00 0.250 0.250..0.250 ≤ 2 µs, ≤ 0.2 x slow yes, no",
        "slow 4.00 4.00..4.00 1.00 1.00..1.00 ≥ 3 µs over fast yes",
        "",
        "growth 3.00 B ≤ 4 B yes",
    ]
    assert lines[6:] == [
        "  growth: of a toy",
        "  left out: absent (no server)",
        "  left out: lost (no server)",
    ]


@pytest.mark.parametrize("module", [gunicorn_server, log_file, report, summary, surroundings])
def test_examples_in_docstrings_hold(module):
    """What a docstring shows is what comes of it."""
    assert doctest.testmod(module) == (0, 1)


def test_document_is_json_with_what_was_used():
    """Numbers of every round, and of the machine only what kind it is."""
    told = json.loads(json.dumps(document({"toy": measure(toy_row(), rounds=2)})))
    assert set(told) == {"date", "python", "platform", "packages", "seed", "rows"}
    assert "Flask" in told["packages"]
    row = told["rows"]["toy"]
    assert [one["variant"] for one in row["variants"]] == ["fast", "slow"]
    assert row["variants"][0]["rounds"] == pytest.approx([1.0, 1.0])
    assert row["variants"][0]["ratio"]["median"] == pytest.approx(0.25)
    assert [one["met"] for one in row["variants"][0]["verdicts"]] == [True, False]
    assert row["figures"]["growth"]["met"] is True
    assert row["left_out"] == {"absent": "no server", "lost": "no server"}


def test_real_calls_take_time():
    """A call that is repeated takes more than none, and gives a spread in order."""
    row = toy_row(
        variants=(Variant("slow", lambda _: calling(dict)),), operations=None, batch_seconds=0.0005
    )
    (values,) = measure(row, rounds=3).seconds.values()
    spread = Spread.of(values)
    assert 0 < spread.p10 <= spread.median <= spread.p90


@pytest.mark.parametrize("make", [pytest.param(one, id=name) for name, one in ROWS.items()])
def test_row_names_only_variants_that_it_has(make):
    """Reference and budgets of each real row are about its own variants."""
    row = make()
    names = {one.name for one in row.variants}
    assert len(names) == len(row.variants)
    assert row.reference in names
    assert {one.variant for one in row.budgets} <= names
    assert {one.than for one in row.budgets} <= {"", *names}


@pytest.mark.parametrize(
    "name", [one for one in ROWS if one.startswith(("inbound", "log", "retry", "session"))]
)
def test_each_variant_of_a_row_runs(name):
    """What is left out is so for want of its package alone."""
    measured = measure(replace(ROWS[name](), operations=1), rounds=1)
    left_out = measured.left_out
    assert {*measured.seconds, *left_out} >= {one.name for one in measured.row.variants}
    assert all("No module named" in why or "on the path" in why for why in left_out.values())


@pytest.mark.parametrize("caller", [pytest.param(one, id=name) for name, one in CALLERS.items()])
@pytest.mark.usefixtures("_any_pybreaker")
def test_an_operation_is_one_request(caller, make_upstream):
    """However the call is made, the upstream is asked once for each."""
    asked = make_upstream(Reply(body=BODY))
    with ExitStack() as stack:
        caller(stack, asked.server_port, waiting)(3)
    assert [(one.method, one.path) for one in asked.requests] == [("GET", "/")] * 3


@pytest.mark.parametrize("caller", [GLUED, OURS])
@pytest.mark.usefixtures("_any_pybreaker")
def test_request_id_is_sent_on(caller, make_upstream):
    """What is compared does the same: all calls of one request carry its ID."""
    asked = make_upstream(200)
    with ExitStack() as stack:
        CALLERS[caller](stack, asked.server_port, waiting)(2)
    first, second = (one.headers["x-request-id"] for one in asked.requests)
    assert first == second


@pytest.mark.parametrize("caller", [GLUED, OURS])
@pytest.mark.usefixtures("_any_pybreaker")
def test_each_call_is_one_line_of_json(caller, make_upstream, monkeypatch, capsys):
    """What is compared tells of a call in one line at INFO."""
    asked = make_upstream(200)
    monkeypatch.setattr(callers, "null_device", lambda: nullcontext(sys.stdout))
    with ExitStack() as stack:
        CALLERS[caller](stack, asked.server_port, waiting)(2)
    events = [json.loads(one)["event"] for one in capsys.readouterr().out.splitlines()]
    assert [one for one in events if one.startswith("http.client")] == ["http.client.finish"] * 2


def test_upstreams_are_known_by_calls(make_upstream, monkeypatch):
    """An app that is to know three has a circuit for each once the one is called."""
    app, resilience = make_app()
    monkeypatch.setattr(callers, "make_app", lambda **_: (app, resilience))
    asked = make_upstream(200)
    with ExitStack() as stack:
        callers.ours_knowing(3)(stack, asked.server_port, waiting)(1)
    assert len(app.extensions["resilience"].breakers) == 3
    assert len(asked.requests) == 1


def test_upstream_answers_until_its_block_ends():
    """It keeps a connection, and is gone afterwards."""
    with upstream() as port, socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(2):
            connection.sendall(callers.REQUEST)
            assert connection.recv(65536) == ANSWER
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_environment_is_another_while_it_is_timed(capsys):
    """It has so many variables, once untimed and then timed; the old ones are there again."""
    before, seen = dict(os.environ), []

    def repeat(times: int) -> float:
        print("a line")  # noqa: T201  # which must not be seen
        seen.append((times, len(os.environ)))
        return 1.0

    assert contained(repeat, 40)(7) == 1.0
    assert seen == [(1, 40), (7, 40)]
    assert dict(os.environ) == before
    assert capsys.readouterr().out == ""


def test_served_work_is_within_a_request():
    """Its time is what it says itself, not what the request took."""
    within: list[bool] = []

    def repeat(times: int) -> float:
        within.append(has_request_context())
        return times / 3

    assert served(Flask("bench"), repeat)(1) == 1 / 3
    assert within == [True]


@pytest.mark.parametrize(
    ("function", "calls"),
    [
        pytest.param(lambda: None, 1, id="itself"),
        pytest.param(lambda: len(()), 2, id="a built-in one"),
        pytest.param(lambda: callers.url_of(80), 2, id="one of Python"),
    ],
)
def test_calls_are_counted(function, calls):
    """Each operation counts the same."""
    assert counting(function)(1) == calls
    assert counting(function)(10) == calls * 10


def test_calls_into_a_package_are_counted():
    """Only functions of that package count, and what it calls does not."""
    function = partial(json.loads, "[1]")
    assert counting(function, calls_into("json"))(1) == 3
    assert counting(function, calls_into("benchmarks"))(1) == 0


def test_success_enters_no_tenacity():
    """Ours runs the loop once an attempt has failed, where a decorator always does."""
    figures = measure(replace(retry_success(), variants=()), rounds=1).figures
    assert figures["calls into tenacity, ours"].value == 0
    assert figures["calls into tenacity, tenacity"].value > 0


LINES = 2 * EVERY_FAILURE * LINES_OF_A_REQUEST


@pytest.mark.parametrize(
    "server", [pytest.param(one, id=name) for name, one in {**SERVERS, **LIMITED}.items()]
)
def test_an_operation_is_one_served_request(server):
    """However it is served, the view's answer comes."""
    with ExitStack() as stack:
        assert servers.asking(server(stack))() == b"order 7"


@pytest.mark.parametrize(
    "server",
    [pytest.param(one, id=name) for name, one in {**SERVERS, **LIMITED}.items() if name != BARE],
)
def test_each_served_request_is_one_line_of_json(server, monkeypatch, capsys):
    """What is compared tells of a request in one line, with the ID that it brought."""
    monkeypatch.setattr(callers, "null_device", lambda: nullcontext(sys.stdout))
    with ExitStack() as stack:
        servers.asking(server(stack))()
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert line["event"] == "http.server.request.finish"
    assert line["http_route"] == "/orders/<int:number>"
    assert line["request_id"] == servers.HEADERS["X-Request-ID"]


@pytest.mark.parametrize("name", [one for one in SERVERS if one != BARE])
@pytest.mark.usefixtures("capsys")
def test_the_answer_carries_the_id(name):
    """What is compared answers with the ID that the request brought."""
    with ExitStack() as stack:
        answer = SERVERS[name](stack).test_client().get(servers.PATH, headers=servers.HEADERS)
    assert answer.headers.getlist("X-Request-ID") == ["checkout-7"]


@pytest.mark.parametrize("server", [pytest.param(one, id=name) for name, one in LIMITED.items()])
@pytest.mark.usefixtures("capsys")
def test_a_limit_counts_and_says_so(server):
    """What is compared tells its client how the limit stands, with one less each time."""
    with ExitStack() as stack:
        client = server(stack).test_client()
        (before, after) = (client.get(servers.PATH).headers for _ in range(2))
    (told,) = (one for one in TOLD if one in before)
    assert before[told] != after[told]


@pytest.mark.parametrize("server", [pytest.param(one, id=name) for name, one in REJECTING.items()])
@pytest.mark.usefixtures("capsys")
def test_a_flood_is_rejected(server):
    """Where a flood is measured, nothing is left of the limit from the beginning."""
    with ExitStack() as stack:
        client = server(stack).test_client()
        answer = client.get(servers.PATH, environ_base={"REMOTE_ADDR": servers.CLIENT})
    assert answer.status_code == 429


@pytest.mark.usefixtures("_redis_server_on_path")
def test_a_limit_is_one_round_trip():
    """Ours asks Redis once for a request, its headers included."""
    figures = measure(replace(inbound_limits_redis(), variants=()), rounds=1).figures
    assert figures["round trips, ours"].value == 1
    assert figures["round trips, glued by hand"].value == 3


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        pytest.param(lambda client: None, 0, id="none"),
        pytest.param(lambda client: client.get("a"), 1, id="one"),
        pytest.param(lambda client: (client.get("a"), client.ttl("a")), 2, id="two"),
        pytest.param(
            lambda client: client.eval("redis.call('get', 'a') redis.call('ttl', 'a')", 0),
            1,
            id="a script",
        ),
    ],
)
@pytest.mark.usefixtures("_redis_server_on_path")
def test_round_trips_are_counted(ask, expected):
    """What a script does on the server is none of its own."""
    with redis_server() as client:
        assert round_trips(client, lambda: ask(client), 3) == expected


@pytest.mark.parametrize(("name", "place"), APPS.values(), ids=list(APPS))
def test_gunicorn_serves_until_its_block_ends(name, place):
    """It answers as the app does, and nobody listens afterwards."""
    with ExitStack() as stack:
        factory = f"benchmarks.limited_servers:until_the_end({name!r}, {place(stack)!r})"
        with gunicorn(factory) as port:
            answer = requests.get(f"{callers.url_of(port)}orders/7", timeout=30)
    assert answer.text == "order 7"
    assert ("RateLimit" in answer.headers) == (name == "ours")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_gunicorn_that_does_not_start_is_left_out():
    """Where the app cannot be made, the row goes on without it."""
    with pytest.raises(UnavailableError, match="does not answer"), gunicorn("benchmarks:nothing()"):
        pass


@pytest.mark.parametrize(
    "report",
    [
        pytest.param("unable to connect", id="no rate"),
        pytest.param("Non-2xx or 3xx responses: 7\nRequests/sec: 900.0", id="failures"),
    ],
)
def test_a_rate_is_one_of_successes(report):
    """What wrk reports of anything else is not taken for a rate."""
    with pytest.raises(ValueError, match=report):
        requests_a_second(report)


def test_without_wrk_it_is_left_out(monkeypatch):
    """It is no package, so it says by itself what is missing."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UnavailableError, match="no wrk"):
        asking_much(80)


def test_counting_is_measured_for_few_clients_and_many():
    """Each strategy is compared with that of ``limits``, and nothing is left out."""
    measured = measure(replace(limit_check(100), operations=1), rounds=1)
    assert len(measured.seconds) == 9
    assert all(one.value > 0 for one in measured.figures.values())
    assert measured.left_out == {}


def test_growth_is_what_stays():
    """What is let go on the way is not in it."""
    assert growth(lambda: bytes(len(bytes(1 << 20)) >> 4)) == pytest.approx(1 << 16, rel=0.1)


def test_log_has_as_many_lines_as_asked_for():
    """The last request is cut short, and the same log is not made twice."""
    path = log_file.log_file(4)
    assert len(path.read_text(encoding="ascii").splitlines()) == 4
    assert log_file.log_file(4) is path


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        pytest.param(["logs", "--json", "--status", "5xx"], 2, id="failed requests"),
        pytest.param(["logs", "--json", "--request-id", log_file.request_id_of(7)], 3, id="one"),
        pytest.param(["logs", "--json"], LINES, id="all"),
    ],
)
def test_log_is_one_that_the_commands_read(command, lines):
    """They find in it what they look for, and no line is foreign to them."""
    whole = [sys.executable, "-m", "flask_resilience", *command, log_file.log_file(LINES)]
    done = subprocess.run(whole, capture_output=True, text=True, check=True, timeout=60)
    assert len(done.stdout.splitlines()) == lines


def test_made_up_lines_are_as_real_ones(capsys):
    """The finish of a made-up request has the fields that ours writes, in their order."""
    with ExitStack() as stack:
        server = servers.ours(stack)
        server.test_client().get(servers.PATH)
    real = json.loads(capsys.readouterr().out)
    made_up = json.loads([*log_file.lines_of(1)][-1])
    assert [one for one in made_up if not one.startswith(("outbound", "retry"))] == [*real]


def test_reading_of_logs_is_measured():
    """Nothing is left out: every command runs to a good end, and tells what memory it took."""
    measured = measure(read_logs(LINES), rounds=1)
    assert TRACE in measured.seconds
    assert len(measured.figures) == 3
    assert measured.left_out == {}


def test_peak_memory_is_that_of_the_command():
    """What the process that asks takes itself does not count."""
    small, large = (
        peak_memory([sys.executable, "-c", f"b'x' * ({megabytes} << 20)"]) for megabytes in (1, 65)
    )
    assert 60 < large - small < 75
