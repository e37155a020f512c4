"""How long a rejected client is told to wait: until every limit has room, and not longer."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from flask_resilience import Resilience
from tests.rate_limits.asking import ask, calling, exhaust, statuses
from tests.servers import RedisServer

STRATEGIES = ["fixed-window", "moving-window", "sliding-window-counter"]
COSTS = [
    pytest.param("2/second;4/20 seconds", 1, id="cost 1"),
    pytest.param("6/second;12/20 seconds", 3, id="cost 3"),
]


@pytest.fixture(params=["memory", "sqlite"])
def storage_url(request, tmp_path):
    """Return each storage whose time is the tests'."""
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/limits.db"


def wait_of(answer):
    """Return how many seconds a rejected client is to wait."""
    assert answer.status_code == 429
    return int(answer.headers["Retry-After"])


@pytest.fixture
def make_costly(make_limited, resilience, storage_url):
    """Return what makes an app with one view under a limit and a strategy, at some cost."""

    def make(limit, cost, strategy):
        app = make_limited(storage_url=storage_url, rate_limit_strategy=strategy)
        app.add_url_rule("/", "index", resilience.limit(limit, cost=cost)(lambda: ""))
        return app

    return make


def exhaust_both(app, clock):
    """Use up both quotas at once: the short one in the moment in which the long one is full."""
    assert statuses(app, ["/"] * 3) == [200, 200, 429]
    clock.advance(2)  # of a sliding window, the one before has faded then
    assert statuses(app, ["/"] * 2) == [200, 200]
    return ask(app)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("limit", "cost"), COSTS)
def test_next_request_is_let_in_after_the_wait(make_costly, clock, limit, cost, strategy):
    """Whoever waits as told is let in, though two quotas were used up."""
    app = make_costly(limit, cost, strategy)
    clock.advance(wait_of(exhaust_both(app, clock)))
    assert ask(app).status_code == 200


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("limit", "cost"), COSTS)
def test_wait_is_not_needlessly_long(make_costly, clock, limit, cost, strategy):
    """A second before the wait is over there is still no room."""
    app = make_costly(limit, cost, strategy)
    clock.advance(wait_of(exhaust_both(app, clock)) - 1)
    assert ask(app).status_code == 429


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_wait_of_a_minute_is_a_minute(make_costly, strategy):
    """The wait after a minute's quota was used at once is no second longer than the minute."""
    assert wait_of(exhaust(make_costly("3/minute", 1, strategy))) <= 60


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_wait_holds_after_odd_fractions_of_a_second(make_costly, clock, strategy):
    """Requests at odd moments lead to waits that hold."""
    app = make_costly("2/second;4/20 seconds", 1, strategy)
    for _ in range(50):
        clock.advance(0.123457)
        ask(app)
        answer = ask(app)
        if answer.status_code == 429:
            clock.advance(wait_of(answer))
            assert ask(app).status_code == 200


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    """Return a server of these tests."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


def play(app, cost):
    """Use up both quotas in real time, wait as told, and return the next status."""
    answers = statuses(app, ["/"] * 2)
    time.sleep(2.1)
    answers += statuses(app, ["/"] * 2)
    answer = exhaust(app)
    time.sleep(wait_of(answer))
    return [*answers, ask(app).status_code]


def test_wait_holds_on_redis(redis_server):
    """The same on Redis, in its own time: each strategy, at a cost of 1 and of 3."""
    played = []
    for strategy in STRATEGIES:
        for cost in (1, 3):
            app, resilience = Flask(f"{strategy}{cost}"), Resilience()
            app.config["RESILIENCE_STORAGE_URL"] = redis_server.patient_url
            settings = {"RATE_LIMIT": "", "RATE_LIMIT_STRATEGY": strategy}
            app.config.update({f"RESILIENCE_{key}": value for key, value in settings.items()})
            resilience.init_app(app)
            limit = f"{2 * cost}/second;{4 * cost}/5 seconds"
            app.add_url_rule("/", "index", resilience.limit(limit, cost=cost)(lambda: ""))
            played.append((app, cost))
    with ThreadPoolExecutor(len(played)) as pool:
        results = list(pool.map(lambda one: play(*one), played))
    assert results == [[200] * 5] * 6


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("common", "own"),
    [
        pytest.param("3/20 seconds", "3/5 seconds", id="the app's is longer"),
        pytest.param("3/5 seconds", "3/20 seconds", id="the view's is longer"),
    ],
)
def test_wait_spans_the_limit_of_the_app_and_that_of_the_view(
    make_limited, resilience, clock, strategy, common, own
):
    """Where both limits are used up the client waits for the later of them, and no longer."""
    app = make_limited(rate_limit=common, rate_limit_strategy=strategy)
    app.add_url_rule("/", "index", resilience.limit(own)(lambda: ""))
    wait = wait_of(exhaust(app))
    clock.advance(wait - 1)
    early = ask(app).status_code
    clock.advance(1)
    assert (early, ask(app).status_code) == (429, 200)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("swapped", [False, True], ids=["longer above", "longer below"])
def test_wait_spans_two_limits_of_one_view(make_limited, resilience, clock, strategy, swapped):
    """Where two limits of a view are used up the client waits for the later of them."""
    app = make_limited(rate_limit_strategy=strategy)
    limits = ["3/20 seconds", "3/5 seconds"]
    above, below = reversed(limits) if swapped else limits
    app.add_url_rule("/", "index", resilience.limit(above)(resilience.limit(below)(lambda: "")))
    wait = wait_of(exhaust(app))
    clock.advance(wait - 1)
    early = ask(app).status_code
    clock.advance(1)
    assert (early, ask(app).status_code) == (429, 200)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"key": lambda: "all"}, id="key"),
        pytest.param({"cost": lambda: 1}, id="cost"),
        pytest.param({"exempt_when": lambda: False}, id="exempt_when"),
    ],
)
def test_wait_spans_a_limit_that_asks_the_app(make_limited, resilience, clock, asked):
    """A limit of the view with functions is looked at, too, when the one below it rejects."""
    app = make_limited(rate_limit_strategy="fixed-window")
    view = resilience.limit("3/5 seconds")(lambda: "")
    app.add_url_rule("/", "index", resilience.limit("3/20 seconds", **asked)(view))
    assert wait_of(exhaust(app)) == 20


def test_limit_that_does_not_hold_lengthens_no_wait(make_limited, resilience):
    """A used up limit of other verbs, or one that this client is exempt from, is left out."""
    app = make_limited(rate_limit_strategy="fixed-window")
    view = resilience.limit("3/5 seconds")(lambda: "")
    view = resilience.limit("1/20 seconds", methods=["PUT"])(view)
    app.add_url_rule("/", "index", view, methods=["GET", "PUT"])
    assert ask(app, method="PUT").status_code == 200
    assert wait_of(exhaust(app)) == 5


def test_wait_spans_what_the_request_itself_used_up(make_limited, resilience, clock):
    """A function called by a view rejects; the app's limit, of which it took the last, counts."""
    app = make_limited(rate_limit="2/minute", rate_limit_strategy="fixed-window")
    costly = resilience.limit("1/second")(lambda: "")
    app.add_url_rule("/", "index", calling(costly))
    assert ask(app).status_code == 200
    clock.advance(wait_of(ask(app)))
    assert ask(app).status_code == 200


def test_request_that_never_fits_is_told_no_time(make_limited, resilience):
    """A cost that exceeds the limit leads to a 429 without Retry-After."""
    app = make_limited()
    app.add_url_rule("/", "index", resilience.limit("5/minute", cost=lambda: 6)(lambda: ""))
    answer = ask(app)
    assert answer.status_code == 429
    assert "Retry-After" not in answer.headers
    assert "retry_after" not in answer.get_json()


def test_wait_in_the_problem_is_that_in_the_header(make_limited):
    """The body and the header say the same."""
    app = make_limited(rate_limit="1/minute")
    app.add_url_rule("/", "index", lambda: "")
    answer = exhaust(app)
    assert answer.get_json()["retry_after"] == wait_of(answer)
