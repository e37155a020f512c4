"""The app's Flask-Limiter: its own limits count in the app's storage, beside ``@limit``."""

from __future__ import annotations

import pytest
from flask import Flask, request
from flask_limiter import RateLimitExceeded

from flask_resilience import Resilience
from tests.rate_limits.asking import ask, statuses

STRATEGIES = ["fixed-window", "moving-window", "sliding-window-counter"]


@pytest.fixture(params=STRATEGIES)
def app(request, make_limited):
    """Return an app without limits, by each strategy."""
    return make_limited(rate_limit_strategy=request.param)


@pytest.fixture
def limiter(app, resilience):
    """Return its Flask-Limiter."""
    with app.app_context():
        return resilience.limiter


def hooks(app):
    """Return how many functions of Flask-Limiter run around each request."""
    tables = (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs)
    found = [getattr(one, "func", one) for table in tables for one in table.get(None, [])]
    return sum("flask_limiter" in getattr(one, "__module__", "") for one in found)


def test_its_hooks_run_only_once_it_was_asked_for(app, resilience):
    """An app that never asks for it pays nothing for it; one that asks, once."""
    before = hooks(app)
    with app.app_context():
        assert resilience.limiter is resilience.limiter
    assert (before, hooks(app)) == (0, 3)


def test_its_limits_wait_until_it_is_asked_for(resilience):
    """Limits of RATELIMIT_* hold from when somebody asks for the limiter."""
    app = Flask("configured")
    app.config.update(RESILIENCE_RATE_LIMIT="", RATELIMIT_DEFAULT="1/minute")
    resilience.init_app(app)
    app.add_url_rule("/", "index", lambda: "")
    before = statuses(app, ["/"] * 3)
    with app.app_context():
        assert resilience.limiter.enabled
    assert (before, statuses(app, ["/"] * 2)) == ([200] * 3, [200, 429])


def test_its_decorator_counts_right(app, limiter):
    """A limit of its own lets in as many as it says, for each client."""
    app.add_url_rule("/", "index", limiter.limit("3/minute")(lambda: ""))
    assert statuses(app, ["/"] * 5) == [200, 200, 200, 429, 429]
    assert statuses(app, ["/"], address="192.0.2.2") == [200]


def test_its_rejection_is_a_problem_that_says_when_to_return(app, limiter):
    """A 429 of its own reads like one of ours."""
    app.add_url_rule("/", "index", limiter.limit("1/minute")(lambda: ""))
    ask(app)
    answer = ask(app)
    assert (answer.status_code, answer.get_json()["code"]) == (429, "LIM-001")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_its_limit_has_room_again(app, limiter, clock):
    """Its windows end by the same clock."""
    app.add_url_rule("/", "index", limiter.limit("3/minute")(lambda: ""))
    statuses(app, ["/"] * 3)
    clock.advance(120)
    assert statuses(app, ["/"] * 4) == [200, 200, 200, 429]


def test_its_shared_limit_counts_together(app, limiter):
    """Views of one shared limit have one quota."""
    shared = limiter.shared_limit("3/minute", scope="search")
    for name in ("a", "b"):

        def view():
            return ""

        view.__name__ = view.__qualname__ = name
        app.add_url_rule(f"/{name}", name, shared(view))
    assert statuses(app, ["/a", "/b", "/a", "/b"]) == [200, 200, 200, 429]


def test_its_deduct_when_counts_by_the_answer(app, limiter):
    """Only answers that it says count do."""

    @app.get("/login/<int:status>")
    @limiter.limit("2/minute", deduct_when=lambda response: response.status_code == 401)
    def login(status):
        return "", status

    assert statuses(app, ["/login/200"] * 5) == [200] * 5
    assert statuses(app, ["/login/401"] * 3) == [401, 401, 429]


def test_its_cost_is_taken(app, limiter):
    """A cost of its own is taken of its quota."""
    app.add_url_rule("/", "index", limiter.limit("5/minute", cost=2)(lambda: ""))
    assert statuses(app, ["/"] * 3) == [200, 200, 429]


def test_its_exemption_frees_of_its_limits(make_limited, resilience):
    """Its exempt view is free of its default limits."""
    app = Flask("configured")
    app.config.update(RESILIENCE_RATE_LIMIT="", RATELIMIT_DEFAULT="1/minute")
    resilience.init_app(app)
    with app.app_context():
        limiter = resilience.limiter

    @app.get("/free")
    @limiter.exempt
    def free():
        return ""

    assert statuses(app, ["/free"] * 3) == [200] * 3


def test_its_limit_holds_for_a_block_in_a_view(app, resilience):
    """``with limiter.limit(...)`` limits a part of a view, from the first request on."""

    @app.get("/")
    def index():
        with resilience.limiter.limit("2/minute"):
            return "fresh"

    assert statuses(app, ["/"] * 4) == [200, 200, 429, 429]


def test_block_that_is_rejected_can_be_caught(app, resilience):
    """A view may answer for the limited block itself."""

    @app.get("/")
    def index():
        try:
            with resilience.limiter.limit("1/minute"):
                return "fresh"
        except RateLimitExceeded:
            return "stale"

    assert [ask(app).text for _ in range(3)] == ["fresh", "stale", "stale"]


def test_its_limits_and_ours_both_hold(app, limiter, resilience):
    """A view may have both, and each counts for itself."""
    view = limiter.limit("3/minute")(lambda: "")
    app.add_url_rule("/", "index", resilience.limit("2/minute")(view))
    assert statuses(app, ["/"] * 3) == [200, 200, 429]


def test_its_filter_frees_of_all_limits(make_limited, resilience):
    """A request filter frees a request of ``RATE_LIMIT``, of ``@limit`` and of its own limits."""
    app = make_limited(rate_limit="1/minute")
    app.add_url_rule("/", "index", resilience.limit("1/minute")(lambda: ""))
    with app.app_context():
        resilience.limiter.request_filter(lambda: "probe" in request.args)
    assert statuses(app, ["/?probe"] * 3) == [200] * 3
    assert statuses(app, ["/", "/", "/?probe"]) == [200, 429, 200]


def test_disabled_by_the_config_limits_nothing(resilience):
    """RATELIMIT_ENABLED=False, as tests of apps set it, switches every limit off."""
    app = Flask("configured")
    app.config.update(RESILIENCE_RATE_LIMIT="1/minute", RATELIMIT_ENABLED=False)
    resilience.init_app(app)
    app.add_url_rule("/", "index", resilience.limit("1/minute")(lambda: ""))
    assert statuses(app, ["/"] * 3) == [200] * 3


def test_disabled_at_runtime_limits_nothing(make_limited, resilience):
    """``limiter.enabled = False`` switches every limit off, and on again."""
    app = make_limited(rate_limit="1/minute")
    app.add_url_rule("/", "index", resilience.limit("1/minute")(lambda: ""))
    with app.app_context():
        limiter = resilience.limiter
    limiter.enabled = False
    assert statuses(app, ["/"] * 3) == [200] * 3
    limiter.enabled = True
    assert statuses(app, ["/"] * 2) == [200, 429]


def test_reset_forgets_all_counts(app, limiter, resilience):
    """After ``limiter.reset()`` every limit has all its room, ours and its own."""
    app.add_url_rule("/ours", "ours", resilience.limit("1/minute")(lambda: ""))
    app.add_url_rule("/its", "its", limiter.limit("1/minute")(lambda: ""))
    paths = ["/ours", "/its"]
    before = statuses(app, paths * 2)
    limiter.reset()
    assert (before, statuses(app, paths)) == ([200, 200, 429, 429], [200, 200])


def test_current_limits_are_those_that_counted(make_limited, resilience):
    """A view can ask how its limits stand, the shortest window first, ours beside its own."""
    app, seen = make_limited(rate_limit="50/hour"), []
    with app.app_context():
        limiter = resilience.limiter

    @app.get("/")
    @resilience.limit("5/minute", scope="search")
    @limiter.limit("9/day")
    def index():
        seen.extend(limiter.current_limits)
        return ""

    ask(app)
    assert [(str(one.limit), one.remaining, one.breached) for one in seen] == [
        ("5 per 1 minute", 4, False),
        ("50 per 1 hour", 49, False),
        ("9 per 1 day", 8, False),
    ]
    assert [one.shared for one in seen] == [True, False, False]


def test_current_limit_is_the_one_of_which_the_least_is_left(make_limited, resilience):
    """While none is exceeded the tightest is told."""
    app, seen = make_limited(rate_limit="50/hour"), []

    @app.get("/")
    @resilience.limit("5/minute")
    def index():
        seen.append(resilience.limiter.current_limit)
        return ""

    ask(app)
    assert (str(seen[0].limit), seen[0].remaining) == ("5 per 1 minute", 4)


def test_current_limit_of_a_rejected_request_is_the_one_exceeded(make_limited, resilience):
    """An error handler can say which limit it was."""
    app = make_limited(rate_limit="1/hour")
    app.add_url_rule("/", "index", resilience.limit("100/minute")(lambda: ""))

    @app.errorhandler(429)
    def handle(error):
        limit = resilience.limiter.current_limit
        return f"{limit.limit}, {limit.breached}", 429

    assert [ask(app).status_code, ask(app).text] == [200, "1 per 1 hour, True"]


def test_nothing_was_counted_without_limits(app, limiter):
    """Where no limit holds there is no current one."""
    app.add_url_rule("/", "index", lambda: str((limiter.current_limit, limiter.current_limits)))
    assert ask(app).text == "(None, [])"


def test_two_apps_have_limiters_of_their_own():
    """Limits set through one app's limiter do not hold in another app."""
    resilience, apps = Resilience(), [Flask("one"), Flask("two")]
    for app in apps:
        app.config.update(RESILIENCE_RATE_LIMIT="", RESILIENCE_STORAGE_URL="memory://")
        resilience.init_app(app)
    with apps[0].app_context():
        view = resilience.limiter.limit("1/minute")(lambda: "")
    apps[0].add_url_rule("/", "index", view)
    apps[1].add_url_rule("/", "index", lambda: "")
    assert [statuses(app, ["/"] * 3) for app in apps] == [[200, 429, 429], [200] * 3]
