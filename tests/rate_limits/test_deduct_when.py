"""Limits that count by the answer: a unit is reserved, and given back if it did not count."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask, abort, request

from tests.rate_limits.asking import ask, statuses
from tests.rate_limits.structured_fields import parse_list

STRATEGIES = ["fixed-window", "moving-window", "sliding-window-counter"]


def failed(response):
    """Say whether a login failed."""
    return response.status_code == 401


@pytest.fixture(params=STRATEGIES)
def app(request, make_limited, resilience):
    """Return an app that allows three failed logins a minute, by each strategy."""
    app = make_limited(rate_limit_strategy=request.param)
    add_login(app, resilience)
    return app


def add_login(app, resilience):
    """Add a login that answers as it is asked to."""

    @app.get("/login/<int:status>")
    @resilience.limit("3/minute", deduct_when=failed)
    def login(status):
        return "", status


def left(answer):
    """Return how much is left as the answer says."""
    return parse_list(answer.headers["RateLimit"])[0][1]["r"]


def test_fourth_failure_is_rejected(app):
    """After three failures nothing comes through any more."""
    assert statuses(app, ["/login/401"] * 4) == [401, 401, 401, 429]
    assert statuses(app, ["/login/200"]) == [429]


def test_successes_cost_nothing(app):
    """However many succeed, as many may fail."""
    assert statuses(app, ["/login/200"] * 10) == [200] * 10
    assert statuses(app, ["/login/401"] * 4) == [401, 401, 401, 429]


def test_success_between_failures_forgives_none(app):
    """A success gives back its own unit and no other."""
    paths = ["/login/401", "/login/200", "/login/401", "/login/200", "/login/401", "/login/401"]
    assert statuses(app, paths) == [401, 200, 401, 200, 401, 429]


def test_rejection_is_not_given_back(app):
    """Rejected requests, which took nothing, make no room."""
    statuses(app, ["/login/401"] * 3)
    assert statuses(app, ["/login/401"] * 10) == [429] * 10


def test_answer_says_what_is_left_after_giving_back(app):
    """A success shrinks nothing in what the client is told, and a failure does."""
    assert [left(ask(app, f"/login/{status}")) for status in (200, 401, 200)] == [3, 2, 2]


def test_error_that_escapes_counts_by_its_answer(make_limited, resilience):
    """A view that fails is a 500, which this limit does not count, and another one does."""
    app = make_limited()
    for name, counted in (("a", 401), ("b", 500)):

        def fail():
            raise LookupError

        def deduct_when(response, counted=counted):
            return response.status_code == counted

        view = resilience.limit("1/minute", deduct_when=deduct_when)(fail)
        app.add_url_rule(f"/{name}", name, view)
    assert statuses(app, ["/a"] * 3) == [500] * 3
    assert statuses(app, ["/b"] * 2) == [500, 429]


def test_aborted_request_counts_by_its_answer(make_limited, resilience):
    """``abort(401)`` is a failed login like any other."""
    app = make_limited()
    view = resilience.limit("2/minute", deduct_when=failed)(lambda: abort(401))
    app.add_url_rule("/", "index", view)
    assert statuses(app, ["/"] * 3) == [401, 401, 429]


def test_unit_is_given_back_once(resilience):
    """A second answer, as when a function after the request fails, gives nothing back again."""
    app = Flask("failing")
    app.config["RESILIENCE_RATE_LIMIT"] = ""
    app.config["RESILIENCE_RATE_LIMIT_STRATEGY"] = "fixed-window"

    @app.after_request
    def fail(response):
        if "fail" in request.args:
            raise LookupError
        return response

    resilience.init_app(app)
    add_login(app, resilience)
    assert statuses(app, ["/login/401"] * 2) == [401, 401]
    assert statuses(app, ["/login/200?fail"]) == [500]
    assert statuses(app, ["/login/401"] * 2) == [401, 429]


def test_rejection_by_another_limit_gives_back_once(make_limited, resilience):
    """What a rejected request had reserved is given back as it is rejected, and not once more."""
    app = make_limited(rate_limit_strategy="fixed-window")
    add_login(app, resilience)
    view = app.view_functions.pop("login")
    other = resilience.limit("1/minute", exempt_when=lambda: "other" not in request.args)
    app.view_functions["login"] = other(view)
    assert statuses(app, ["/login/401", "/login/401", "/login/200?other"]) == [401, 401, 200]
    assert statuses(app, ["/login/200?other"] * 5) == [429] * 5
    assert statuses(app, ["/login/401"] * 2) == [401, 429]


def test_broken_deduct_when_counts_its_request(make_limited, resilience):
    """If nobody can say that a request did not count, it did."""

    def broken(response):
        raise LookupError

    app = make_limited()
    app.add_url_rule("/", "index", resilience.limit("2/minute", deduct_when=broken)(lambda: ""))
    assert statuses(app, ["/"] * 3)[2] == 429


def test_twenty_failures_at_once_never_pass_a_limit_of_three(make_limited, resilience):
    """Twenty logins that come at once and fail reach the view three times."""
    app, start, entered = make_limited(), threading.Barrier(20), []

    @app.get("/login")
    @resilience.limit("3/minute", deduct_when=failed)
    def login():
        entered.append(1)
        return "", 401

    def attempt(_):
        start.wait(20)
        return ask(app, "/login").status_code

    with ThreadPoolExecutor(20) as pool:
        answers = sorted(pool.map(attempt, range(20)))
    assert answers == [401] * 3 + [429] * 17
    assert len(entered) == 3


def test_no_more_are_inside_than_the_limit(make_limited, resilience):
    """While three logins are in the view, which will succeed, nobody else comes in; then again."""
    app, inside, leave = make_limited(), threading.Barrier(4), threading.Event()

    @app.get("/login")
    @resilience.limit("3/minute", deduct_when=failed)
    def login():
        if not leave.is_set():
            inside.wait(20)
            leave.wait(20)
        return ""

    with ThreadPoolExecutor(3) as pool:
        first = [pool.submit(ask, app, "/login") for _ in range(3)]
        inside.wait(20)
        meanwhile = statuses(app, ["/login"] * 5)
        leave.set()
        assert [one.result(20).status_code for one in first] == [200] * 3
    assert meanwhile == [429] * 5
    assert statuses(app, ["/login"] * 5) == [200] * 5


def test_unit_of_a_window_that_is_over_is_not_given_back_to_the_next(
    make_limited, resilience, clock
):
    """A slow success, whose window ended meanwhile, makes no room in the new one."""
    app = make_limited(rate_limit_strategy="fixed-window")

    @app.get("/login/<int:status>")
    @resilience.limit("2/minute", deduct_when=failed)
    def login(status):
        if "slow" in request.args:
            clock.advance(61)
            ask(app, "/login/401")
        return "", status

    assert statuses(app, ["/login/200?slow"]) == [200]
    assert statuses(app, ["/login/401"] * 2) == [401, 429]


@pytest.fixture
def around(make_limited, resilience):
    """Return an app with a login that has another limited app serve its own request."""
    inner = make_limited("inner", rate_limit="50/minute")
    inner.add_url_rule("/login/<int:status>", "login", lambda status: "")
    app = make_limited("outer", rate_limit="100/minute")

    @app.get("/login/<int:status>")
    @resilience.limit("3/minute", deduct_when=failed)
    def login(status):
        b"".join(inner.wsgi_app(request.environ, lambda *answer: None))
        return "", status

    return app


def test_app_that_serves_anothers_request_leaves_its_header(around):
    """The answer tells of the limits of the app that gave it."""
    names = [name for name, _ in parse_list(ask(around, "/login/200").headers["RateLimit"])]
    assert names == ["app: 100 per 1 minute", "view: 3 per 1 minute"]


def test_app_that_serves_anothers_request_leaves_its_tally(around):
    """What the outer app does not deduct it gives back, and the rest stays taken."""
    assert statuses(around, ["/login/200"] * 5) == [200] * 5
    assert statuses(around, ["/login/401"] * 4) == [401, 401, 401, 429]
