"""A rejected request takes nothing of any limit that it was counted by before."""

from __future__ import annotations

import pytest
from flask_limiter import RateLimitExceeded

from flask_resilience.storage.memory_counters import MemoryCounters
from tests.rate_limits.asking import ask, calling, exhaust, statuses
from tests.rate_limits.structured_fields import parse_list

STRATEGIES = ["fixed-window", "moving-window", "sliding-window-counter"]


@pytest.fixture(params=STRATEGIES)
def app(request, make_limited):
    """Return an app with ten requests a minute for each client, by each strategy."""
    app = make_limited(rate_limit="10/minute", rate_limit_strategy=request.param)
    app.add_url_rule("/", "index", lambda: "")
    return app


def left(app, path="/"):
    """Return what the app says is left of each limit, after one more request."""
    return {name: state["r"] for name, state in parse_list(ask(app, path).headers["RateLimit"])}


def test_rejection_by_the_views_limit_leaves_the_apps(app, resilience):
    """What a view's limit rejects does not count for the app's."""
    app.add_url_rule("/own", "own", resilience.limit("1/minute")(lambda: ""))
    assert statuses(app, ["/own"] * 50) == [200] + [429] * 49
    assert left(app) == {"app: 10 per 1 minute": 8}


def test_rejection_by_the_apps_limit_leaves_the_views(app, resilience):
    """What the app's limit rejects never comes to the view's."""
    app.add_url_rule("/own", "own", resilience.limit("3/minute", scope="own")(lambda: ""))
    statuses(app, ["/"] * 10 + ["/own"] * 5)
    assert statuses(app, ["/own"] * 4, address="192.0.2.2") == [200, 200, 200, 429]


def test_rejection_by_the_apps_limit_asks_nothing_of_the_app(app, resilience):
    """Functions of a view's limit are called for requests alone that come to it."""
    asked = []
    view = resilience.limit("50/minute", key=lambda: asked.append(1))(lambda: "")
    app.add_url_rule("/own", "own", view)
    assert statuses(app, ["/own"] * 12).count(429) == 2
    assert len(asked) == 10


@pytest.mark.parametrize("swapped", [False, True], ids=["tighter above", "tighter below"])
def test_rejection_by_one_limit_of_a_view_leaves_the_other(app, resilience, clock, swapped):
    """Of two limits on a view, what one rejects does not count for the other."""
    limits = ["2/second", "5/minute"]
    above, below = reversed(limits) if swapped else limits
    view = resilience.limit(above)(resilience.limit(below)(lambda: ""))
    app.add_url_rule("/own", "own", view)
    assert statuses(app, ["/own"] * 9) == [200, 200] + [429] * 7
    clock.advance(2.5)
    told = left(app, "/own")
    assert [amount for name, amount in told.items() if "5 per" in name] == [2]


def test_rejection_by_one_quota_leaves_the_other(app, resilience, clock):
    """Of the two quotas of a limit, what one rejects does not count for the other."""
    app.add_url_rule("/own", "own", resilience.limit("2/second;5/minute")(lambda: ""))
    assert statuses(app, ["/own"] * 9) == [200, 200] + [429] * 7
    clock.advance(2.5)
    assert left(app, "/own")["view: 5 per 1 minute"] == 2


@pytest.mark.parametrize("swapped", [False, True], ids=["shared above", "shared below"])
def test_client_over_its_limit_never_takes_of_what_others_share(
    app, resilience, monkeypatch, swapped
):
    """Not even while it is rejected: a flood would keep others out, though it is given back."""
    by_client = resilience.limit("1/minute", scope="mine")
    by_key = resilience.limit("9/minute", scope="shared", key=lambda: "ada")
    above, below = (by_client, by_key) if swapped else (by_key, by_client)
    app.add_url_rule("/login", "login", above(below(lambda: "")))
    ask(app, "/login")
    taken = record_taken(monkeypatch)
    assert statuses(app, ["/login"] * 5) == [429] * 5
    assert [key for key in taken if "shared" in key] == []
    assert statuses(app, ["/login"], address="192.0.2.2") == [200]
    assert len([key for key in taken if "shared" in key]) == 1


def record_taken(monkeypatch):
    """Return a list that the keys go to of which something is taken."""
    taken, take = [], MemoryCounters.take

    def recording(counters, claim):
        taken.append(claim.key)
        return take(counters, claim)

    monkeypatch.setattr(MemoryCounters, "take", recording)
    return taken


def test_function_inside_of_a_view_that_rejects_leaves_what_was_taken(app, resilience):
    """Once the view runs the request has cost something: what it took stays taken."""
    costly = resilience.limit("1/minute")(lambda: "")
    app.add_url_rule("/outer", "outer", calling(costly))
    assert statuses(app, ["/outer"] * 5) == [200, 429, 429, 429, 429]
    assert left(app) == {"app: 10 per 1 minute": 4}


def test_function_that_rejects_inside_can_be_caught(app, resilience):
    """A view may answer for the rejected part itself, and the answer asks for no wait."""
    costly = resilience.limit("1/minute")(lambda: "fresh")

    @app.get("/outer")
    def outer():
        try:
            return costly()
        except RateLimitExceeded:
            return "stale"

    assert [ask(app, "/outer").text for _ in range(2)] == ["fresh", "stale"]
    answer = ask(app, "/outer")
    assert (answer.status_code, answer.headers.get("Retry-After")) == (200, None)


def test_function_called_by_two_views_counts_for_each(app, resilience):
    """A limited function that several views call has a quota for each of them."""
    costly = resilience.limit("1/minute")(lambda: "")
    for name in ("a", "b"):
        app.add_url_rule(f"/{name}", name, calling(costly))
    assert statuses(app, ["/a", "/b", "/a", "/b"]) == [200, 200, 429, 429]


def test_function_limited_with_a_scope_counts_for_all(app, resilience):
    """With a scope it has one quota, whoever calls it."""
    costly = resilience.limit("1/minute", scope="costly")(lambda: "")
    for name in ("a", "b"):
        app.add_url_rule(f"/{name}", name, calling(costly))
    assert statuses(app, ["/a", "/b"]) == [200, 429]


def test_functions_of_one_name_in_one_view_count_together(app, resilience):
    """Functions that differ in nothing but their creation share a quota: no new one is a way out.

    A function that each request decorates anew would not be limited otherwise.
    """

    def costly():
        return ""

    @app.get("/outer")
    def outer():
        limited = resilience.limit("2/minute")(costly)
        return limited()

    assert statuses(app, ["/outer"] * 3) == [200, 200, 429]


def test_functions_of_one_name_with_limits_of_their_own_count_apart(app, resilience):
    """Two functions of one factory that one view calls do not share what differs."""

    def make(limit):
        @resilience.limit(limit)
        def costly():
            return ""

        return costly

    one, other = make("2/minute"), make("3/minute")
    app.add_url_rule("/outer", "outer", lambda: one() + other())
    assert statuses(app, ["/outer"] * 3) == [200, 200, 429]


def test_exempt_view_frees_what_it_calls(app, resilience):
    """In an exempt view no limit holds, not even that of a function that it calls."""
    costly = resilience.limit("1/minute")(lambda: "")
    app.add_url_rule("/free", "free", resilience.exempt(calling(costly)))
    assert statuses(app, ["/free"] * 3) == [200] * 3


def test_unknown_path_costs_nothing(app):
    """What no view answers is not counted."""
    assert statuses(app, ["/unknown"] * 20) == [404] * 20
    assert left(app) == {"app: 10 per 1 minute": 9}


def test_rejected_request_does_not_reach_the_view(app, resilience):
    """Neither the view nor what the app does before it, after our limits, runs."""
    reached = []
    app.before_request(lambda: reached.append("before"))
    exhaust(app)
    assert len(reached) == 10
