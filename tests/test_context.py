"""What is known of the request being served, and what a view adds to its finish line."""

from __future__ import annotations

import pytest

from flask_resilience import Resilience, add_fields
from flask_resilience.context import current_request


@pytest.fixture
def finish_line(make_app, log_lines):
    """Return what serves one request with a function, and gives the request's finish line."""

    def serve(view):
        app = make_app()
        app.add_url_rule("/", "index", lambda: view() or "")
        app.test_client().get("/").close()
        (line,) = log_lines("http.server.request.finish")
        return line

    return serve


def test_added_fields_stand_on_the_finish_line(finish_line):
    """What a view adds is told with the request, of one name the last value."""

    def view():
        add_fields(order_id=7, paid=False)
        add_fields(paid=True, items=[1, 2])

    line = finish_line(view)
    assert (line["order_id"], line["paid"], line["items"]) == (7, True, [1, 2])


def test_added_field_without_a_value_is_left_out(finish_line):
    """Absent, not null."""
    assert "order_id" not in finish_line(lambda: add_fields(order_id=None))


@pytest.mark.parametrize(
    "name",
    [
        *("timestamp", "level", "event", "logger", "service", "pid"),
        *("request_id", "trace_id", "span_id", "http_route", "duration_ms", "outcome"),
    ],
)
def test_added_field_never_takes_the_place_of_another(finish_line, name):
    """One that has the name of a field of the line appears under another name."""
    line = finish_line(lambda: add_fields(**{name: "mine"}))
    assert line[name] != "mine"
    assert line[f"user_{name}"] == "mine"


@pytest.mark.parametrize("name", ["parent_span_id", "error_type", "outbound_calls"])
def test_added_field_is_not_taken_for_one_that_is_absent(finish_line, name):
    """Nor does it appear where the line has nothing to say."""
    line = finish_line(lambda: add_fields(**{name: "mine"}))
    assert name not in line
    assert line[f"user_{name}"] == "mine"


def test_added_secret_is_redacted(finish_line):
    """Fields of a view go the way of all fields."""
    line = finish_line(lambda: add_fields(api_key="k3y"))
    assert line["api_key"] == "[redacted]"


def test_added_fields_do_not_reach_the_next_request(make_app, log_lines):
    """Each request has fields of its own."""
    app = make_app()
    app.add_url_rule("/<name>", "index", lambda name: add_fields(**{name: 1}) or "")
    for path in ("/one", "/two"):
        app.test_client().get(path).close()
    first, second = log_lines("http.server.request.finish")
    assert ("one" in first, "two" in first) == (True, False)
    assert ("one" in second, "two" in second) == (False, True)


def test_thread_of_the_request_adds_to_its_line(finish_line):
    """A thread that carries the request's context adds to the request."""

    def view():
        with Resilience().executor(1) as pool:
            pool.submit(add_fields, order_id=7).result()

    assert finish_line(view)["order_id"] == 7


def test_nothing_is_added_outside_a_request():
    """A function that a command shares with a view may say what it likes."""
    add_fields(order_id=7)
    assert current_request() is None
