"""What each answer says of limits, and what a view's own headers stay."""

from __future__ import annotations

import math
import time

import pytest
from flask import Flask

from flask_resilience.policies.quota import Quota, Standing
from flask_resilience.rate_limits.headers import Told, draft_headers
from tests.rate_limits.asking import ask, calling, exhaust
from tests.rate_limits.structured_fields import parse_list

DRAFT = ("RateLimit", "RateLimit-Policy")
LEGACY = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


@pytest.fixture
def app(make_limited, resilience):
    """Return an app with a limit of two quotas, and a view with two more limits."""
    app = make_limited(rate_limit="3 per minute;100 per hour")
    view = resilience.limit("20/minute", scope="search & find")(lambda: "")
    app.add_url_rule("/", "index", lambda: "")
    app.add_url_rule("/own", "own", resilience.limit("20/minute")(view))
    return app


def names(header):
    """Return the names in a field, which must be a list of RFC 9651."""
    return [name for name, _ in parse_list(header)]


@pytest.mark.parametrize(
    "text",
    ["", "a", '"a', '"a";q', '"a";q=', '"a";q=1.5', '"a",', '"a" "b"', '"a";Q=1', '"\u00e9"'],
)
def test_reader_of_these_tests_is_strict(text):
    """The tests' own reader refuses what is no list of strings with integers."""
    with pytest.raises(ValueError, match="has no"):
        parse_list(text)


def test_fields_of_the_draft_say_each_quota(app):
    """Each quota is told by its name, amount, window, what is left of it, and until when."""
    answer = ask(app)
    assert parse_list(answer.headers["RateLimit-Policy"]) == [
        ("app: 3 per 1 minute", {"q": 3, "w": 60}),
        ("app: 100 per 1 hour", {"q": 100, "w": 3600}),
    ]
    assert parse_list(answer.headers["RateLimit"]) == [
        ("app: 3 per 1 minute", {"r": 2, "t": 60}),
        ("app: 100 per 1 hour", {"r": 99, "t": 3600}),
    ]


def test_what_is_left_counts_down_to_nothing(app):
    """The client sees its quota shrink, and none left of it as it is rejected."""
    left = [parse_list(ask(app).headers["RateLimit"])[0][1]["r"] for _ in range(4)]
    assert left == [2, 1, 0, 0]


def test_each_limit_of_a_view_is_told(app):
    """Limits of the app, of the view and of a scope stand beside each other."""
    answer = ask(app, "/own")
    assert names(answer.headers["RateLimit"]) == [
        "app: 3 per 1 minute",
        "app: 100 per 1 hour",
        "search & find: 20 per 1 minute",
        "view 2: 20 per 1 minute",
    ]
    assert names(answer.headers["RateLimit"]) == names(answer.headers["RateLimit-Policy"])


@pytest.mark.parametrize("path", ["/", "/own"])
def test_rejection_tells_how_limits_stand(app, path):
    """A 429 has both fields, and they can be read."""
    answer = exhaust(app, path)
    (name, state), *_ = parse_list(answer.headers["RateLimit"])
    assert (name, state["r"]) == ("app: 3 per 1 minute", 0)
    assert state["t"] == int(answer.headers["Retry-After"])
    assert names(answer.headers["RateLimit"]) == names(answer.headers["RateLimit-Policy"])


def test_200_carries_no_retry_after(app):
    """An answer that is none of rejection says nothing of waiting, though nothing is left."""
    assert [ask(app).headers.get("Retry-After") for _ in range(3)] == [None] * 3


def test_view_without_a_limit_says_nothing(make_limited):
    """Where no limit holds there is no field for one."""
    app = make_limited()
    app.add_url_rule("/", "index", lambda: "")
    assert not {*DRAFT, *LEGACY} & set(ask(app).headers.keys())


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        pytest.param("draft", DRAFT, id="draft"),
        pytest.param("legacy", LEGACY, id="legacy"),
        pytest.param("both", (*DRAFT, *LEGACY), id="both"),
        pytest.param("off", (), id="off"),
    ],
)
@pytest.mark.parametrize("status", [200, 429])
def test_setting_chooses_the_fields(make_limited, setting, expected, status):
    """RATE_LIMIT_HEADERS says which fields there are, on each answer; Retry-After stays."""
    app = make_limited(rate_limit="1/minute", rate_limit_headers=setting)
    app.add_url_rule("/", "index", lambda: "")
    answer = ask(app) if status == 200 else exhaust(app)
    assert {*DRAFT, *LEGACY} & set(answer.headers.keys()) == set(expected)
    assert ("Retry-After" in answer.headers) == (status == 429)


def test_legacy_fields_tell_the_quota_of_which_the_least_is_left(make_limited, resilience):
    """Where only one quota can be told it is the tightest."""
    app = make_limited(rate_limit="100/hour", rate_limit_headers="legacy")
    app.add_url_rule("/", "index", resilience.limit("5/minute")(lambda: ""))
    headers = ask(app).headers
    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("5", "4")
    assert -5 <= int(headers["X-RateLimit-Reset"]) - (time.time() + 60) <= 5


def test_names_are_unique_where_limits_are_alike(make_limited, resilience):
    """No two quotas of one answer have one name, whatever stands on what."""
    from_within = resilience.limit("9/minute")(lambda: "")
    app = make_limited(rate_limit="9/minute")
    scoped = resilience.limit("9/minute", scope="app")(calling(from_within))
    app.add_url_rule("/", "index", resilience.limit("9/minute")(scoped))
    headers = ask(app).headers
    assert len(set(names(headers["RateLimit"]))) == 4
    assert names(headers["RateLimit"]) == names(headers["RateLimit-Policy"])


@pytest.mark.parametrize(
    ("standing", "remaining", "reset"),
    [
        pytest.param(Standing(3, 41.5, 0.0), 7, 42, id="room, and the window turns"),
        pytest.param(Standing(3, 41.0, 0.0), 7, 41, id="in whole seconds"),
        pytest.param(Standing(10, 60.0, 1.25), 0, 2, id="no room, and there is before it turns"),
        pytest.param(Standing(12, 60.0, 5.0), 0, 5, id="more than all is used"),
        pytest.param(Standing(0, 60.0, math.inf), 10, 60, id="never any room"),
    ],
)
def test_standing_is_told_in_whole_numbers(standing, remaining, reset):
    """What is left is nothing at least, and the time is rounded up."""
    told = Told("app", Quota(10, 60), standing)
    assert (told.remaining, told.reset) == (remaining, reset)


def test_whatever_a_scope_may_be_called_can_be_read():
    """Every character that a scope may have is one that a string of RFC 9651 may have."""
    scope = "".join(chr(one) for one in range(32, 127) if chr(one) not in '"\\')
    headers = draft_headers([Told(scope, Quota(10, 60), Standing(1, 60.0, 0.0))])
    assert names(headers["RateLimit"]) == [scope]


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kolkata"])
def _zone(request, monkeypatch):
    """Let the process live in one time zone after the other."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_zone")
@pytest.mark.parametrize(
    "retry_after",
    [
        pytest.param("1.5", id="a fraction"),
        pytest.param("Fri, 31 Dec 2999 23:59:59 GMT", id="an HTTP date"),
        pytest.param("soon", id="garbage"),
        pytest.param("", id="nothing"),
    ],
)
@pytest.mark.parametrize("asked", [False, True], ids=["ours alone", "with Flask-Limiter"])
def test_views_own_retry_after_stays(make_limited, resilience, retry_after, asked):
    """A view's 503 stays one with its own Retry-After, however that reads, in any time zone."""
    app = make_limited(rate_limit="10/minute")
    app.config["RATELIMIT_HEADERS_ENABLED"] = True
    app.add_url_rule("/", "index", lambda: ("", 503, {"Retry-After": retry_after}))
    if asked:
        with app.app_context():
            app.add_url_rule("/b", "b", resilience.limiter.limit("5/minute")(lambda: ""))
    answer = ask(app)
    assert (answer.status_code, answer.headers.get_all("Retry-After")) == (503, [retry_after])


def test_flask_limiters_headers_setting_before_init_app_changes_nothing(resilience):
    """RATELIMIT_HEADERS_ENABLED adds no fields of Flask-Limiter's to ours."""
    app = Flask("configured")
    app.config["RATELIMIT_HEADERS_ENABLED"] = True
    resilience.init_app(app)
    app.add_url_rule("/", "index", lambda: ("", 503, {"Retry-After": "1.5"}))
    with app.app_context():
        assert resilience.limiter.enabled
    answer = ask(app)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1.5")
    assert not set(LEGACY) & set(answer.headers.keys())


def test_views_own_429_is_the_views(make_limited):
    """A 429 that the view makes itself gets no Retry-After of ours."""
    app = make_limited(rate_limit="10/minute")
    app.add_url_rule("/", "index", lambda: ("slow down", 429))
    answer = ask(app)
    assert answer.text == "slow down"
    assert "Retry-After" not in answer.headers
