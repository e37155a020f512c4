"""What one limit says: for which requests it holds, and what they cost."""

from __future__ import annotations

import pytest
from flask import request

from flask_resilience import ConfigurationError
from flask_resilience.policies.quota import Quota
from flask_resilience.rate_limits.rule import parse_limit
from flask_resilience.testing import record_events
from tests.rate_limits.asking import ask, exhaust, statuses
from tests.rate_limits.structured_fields import parse_list


@pytest.fixture
def make_view(make_limited, resilience):
    """Return what makes an app whose one view is limited, for all verbs but OPTIONS."""

    def make(limit, **arguments):
        app = make_limited()
        view = resilience.limit(limit, **arguments)(lambda: "")
        verbs = ["GET", "POST", "PUT"]
        app.add_url_rule("/", "index", view, methods=verbs)
        return app

    return make


@pytest.mark.parametrize(
    ("text", "quotas"),
    [
        pytest.param("5/minute", (Quota(5, 60),), id="one"),
        pytest.param("100/hour;5 per minute", (Quota(5, 60), Quota(100, 3600)), id="by window"),
        pytest.param("4 per 2 minutes", (Quota(4, 120),), id="several of a unit"),
        pytest.param("9/minute;5 per 60 seconds", (Quota(5, 60),), id="one window: the smaller"),
        pytest.param("5/minute;9 per 60 seconds", (Quota(5, 60),), id="in either order"),
    ],
)
def test_limit_is_read_as_quotas(text, quotas):
    """A limit is one quota for each length of window, the shortest first."""
    assert parse_limit(text).quotas == quotas


@pytest.mark.parametrize(
    "limit",
    [
        *["five per minute", "0/minute", "5/minute;0/hour", ";", "5", "1000000001/day"],
        *["1 per 11 year", "5/minute;1 per 11 year", f"1 per {10**400} day"],
    ],
)
def test_limit_that_is_none_raises_as_it_is_said(resilience, limit):
    """What cannot be read, or lets nothing through, raises where it is written."""
    with pytest.raises(ConfigurationError, match=r"limit is .*; it must be limits like"):
        resilience.limit(limit)


def test_window_may_last_ten_years():
    """That is the longest."""
    assert len(parse_limit("1 per 10 year").quotas) == 1


def test_cost_above_the_limit_raises_as_it_is_said(resilience):
    """A request that could never pass is a mistake, by whichever quota."""
    with pytest.raises(ConfigurationError, match=r"cost is 6 .* would never pass"):
        resilience.limit("100/hour;5/minute", cost=6)


def test_cost_is_taken_of_each_quota(make_view):
    """A request that costs three takes three."""
    app = make_view("10/minute;100/hour", cost=3)
    left = [state["r"] for _, state in parse_list(ask(app).headers["RateLimit"])]
    assert left == [7, 97]
    assert statuses(app, ["/"] * 3) == [200, 200, 429]


def test_cost_may_be_asked_for_each_request(make_view):
    """A function gives what this request costs; one that costs nothing is let in."""
    costs = iter([2, 0, 0, 3, 3, 0])
    app = make_view("5/minute", cost=lambda: next(costs))
    assert statuses(app, ["/"] * 6) == [200, 200, 200, 200, 429, 200]


def test_limit_is_left_out_of_what_costs_nothing(make_view):
    """A request that costs nothing is told nothing of the limit."""
    assert "RateLimit" not in ask(make_view("5/minute", cost=lambda: 0)).headers


@pytest.mark.parametrize("cost", [-1, 1.5, "2", None, True])
def test_wrong_cost_at_its_request_is_loud(make_view, cost):
    """A function that gives no whole number makes the request fail, not pass."""
    assert ask(make_view("5/minute", cost=lambda: cost)).status_code == 500


def test_methods_limit_some_verbs(make_view):
    """Other verbs than those named are free."""
    app = make_view("2/minute", methods=["post", "PUT"])
    assert statuses(app, ["/"] * 4) == [200] * 4
    assert statuses(app, ["/"] * 3, method="POST") == [200, 200, 429]
    assert ask(app, method="PUT").status_code == 429


def test_get_includes_head(make_view):
    """What is limited for GET cannot be had by HEAD."""
    app = make_view("2/minute", methods=["GET"])
    assert statuses(app, ["/"] * 2, method="HEAD") == [200, 200]
    assert [ask(app, method=verb).status_code for verb in ("HEAD", "GET", "PUT")] == [429, 429, 200]


def test_head_may_be_named_beside_get(make_view):
    """It says what holds anyway."""
    app = make_view("1/minute", methods=["HEAD", "GET"])
    assert [ask(app, method=verb).status_code for verb in ("GET", "HEAD")] == [200, 429]


def test_head_has_no_quota_beside_that_of_get(make_view):
    """With ``per_method``, too, what was had by GET cannot be had once more by HEAD."""
    app = make_view("1/minute", per_method=True)
    assert [ask(app, method=verb).status_code for verb in ("GET", "HEAD", "PUT")] == [200, 429, 200]


def test_each_verb_has_its_own_quota(make_view):
    """With ``per_method`` verbs do not share."""
    app = make_view("2/minute", per_method=True)
    for verb in ("GET", "POST", "PUT"):
        assert statuses(app, ["/"] * 3, method=verb) == [200, 200, 429]


def test_verbs_share_a_quota_otherwise(make_view):
    """Without it they do."""
    app = make_view("2/minute")
    assert [ask(app, method=verb).status_code for verb in ("GET", "POST", "PUT")] == [200, 200, 429]


def test_views_of_one_scope_share_a_quota(make_limited, resilience):
    """Limits of one scope count together, by whichever view."""
    app = make_limited()
    for name in ("a", "b"):
        view = resilience.limit("3/minute", scope="search")(lambda: "")
        app.add_url_rule(f"/{name}", name, view)
    assert statuses(app, ["/a", "/b", "/a", "/b", "/a"]) == [200, 200, 200, 429, 429]


def test_scopes_are_apart(make_limited, resilience):
    """Limits of other scopes count by themselves."""
    app = make_limited()
    for name in ("a", "b"):
        app.add_url_rule(f"/{name}", name, resilience.limit("1/minute", scope=name)(lambda: ""))
    assert statuses(app, ["/a", "/b", "/a", "/b"]) == [200, 200, 429, 429]


@pytest.mark.parametrize("scope", ["", 'a"b', "a\\b", "\n", "caf\u00e9", "a" * 101, 5])
def test_scope_that_no_header_can_name_raises(resilience, scope):
    """A scope stands in a header, so it is what may stand there."""
    with pytest.raises(ConfigurationError, match="scope is"):
        resilience.limit("1/minute", scope=scope)


def test_limit_may_change_with_the_request(make_limited, resilience):
    """A function gives the limit for who asks; each has the quota of its own limit."""
    app = make_limited()
    plans = {"free": "1/minute", "paid": "3/minute"}
    view = resilience.limit(lambda: plans[request.args["plan"]])(lambda: "")
    app.add_url_rule("/", "index", view)
    assert statuses(app, ["/?plan=free"] * 2) == [200, 429]
    assert statuses(app, ["/?plan=paid"] * 4) == [200, 200, 200, 429]


def test_request_may_be_exempt(make_limited, resilience):
    """Where ``exempt_when`` says so a limit does not hold, and nothing is taken."""
    app = make_limited()
    view = resilience.limit("1/minute", exempt_when=lambda: "staff" in request.args)(lambda: "")
    app.add_url_rule("/", "index", view)
    assert statuses(app, ["/?staff"] * 3) == [200] * 3
    assert statuses(app, ["/", "/", "/?staff"]) == [200, 429, 200]


@pytest.mark.parametrize("argument", ["key", "cost", "exempt_when", "limit"])
def test_function_that_raises_is_loud(make_limited, resilience, argument, log_lines):
    """A broken function of the app's makes the request fail; it is not let in uncounted."""

    def broken():
        raise LookupError("no such user")

    app = make_limited()
    arguments = {"limit": "5/minute", argument: broken}
    app.add_url_rule("/", "index", resilience.limit(**arguments)(lambda: "secret"))
    assert ask(app).status_code == 500
    assert log_lines("http.server.request.exception")[0]["exception_type"] == "LookupError"


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("exempt_when", True),
        ("deduct_when", 401),
        ("per_method", "yes"),
        ("on_storage_error", "shut"),
        ("methods", {"POST": 1}.get),
        ("methods", []),
        ("methods", ["HEAD"]),
        ("methods", ["options"]),
        ("methods", {"HEAD", "OPTIONS"}),
        ("cost", 0.5),
        ("cost", -1),
        ("cost", 10**7),
    ],
)
def test_wrong_argument_is_named(resilience, argument, value):
    """A value that is none raises as it is said, by its name."""
    with pytest.raises(ConfigurationError, match=f"{argument} is") as caught:
        resilience.limit("1/minute", **{argument: value})
    assert caught.value.details["key"] == argument


def test_event_of_a_rejection_says_which_quota(make_limited, resilience):
    """Of several quotas the one is told that takes the longest to have room."""
    app = make_limited(rate_limit_strategy="fixed-window")
    view = resilience.limit("2/second;2/minute", scope="search")(lambda: "")
    app.add_url_rule("/items/<int:number>", "item", lambda number: view())
    with record_events(app) as events:
        exhaust(app, "/items/7")
    (event,) = [one for one in events if hasattr(one, "policy")]
    assert (event.policy, event.limit, event.window) == ("search", "2 per 1 minute", 60)
    assert (event.route, event.strategy) == ("/items/<int:number>", "fixed-window")
    assert (event.key_type, event.retry_after) == ("client_address", 60.0)
