"""While the storage is down limits hold in this process, or not at all, or nobody is let in."""

from __future__ import annotations

import pytest
from flask import Flask

from flask_resilience import Resilience, StorageError
from flask_resilience.counters.counting import CLOSED, FALLBACK, OPEN, Counting
from flask_resilience.policies.quota import Claim, Quota, Strategy
from flask_resilience.storage.memory_counters import MemoryCounters
from tests.rate_limits.asking import ask, statuses
from tests.rate_limits.structured_fields import parse_list
from tests.servers import free_port

CLAIM = Claim(Strategy.FIXED_WINDOW, "a", (Quota(2, 60),))


class Down:
    """Counters whose storage is down, or comes and goes.

    :param counters: Count while ``is_up``.
    """

    name, address, shared = "memory", "memory://", False

    def __init__(self, counters):
        self._counters, self.is_up = counters, False

    def __getattr__(self, name):
        """Return an operation of the counters, or one that fails."""

        def fail(*arguments):
            raise StorageError(self.address, "it is down")

        return getattr(self._counters, name) if self.is_up else fail


@pytest.fixture
def down(clock):
    """Return counters whose storage is down."""
    return Down(MemoryCounters(clock))


@pytest.fixture
def counting(down, clock):
    """Return what counts on them."""
    return Counting(down, MemoryCounters(clock), lambda: 7.0)


@pytest.mark.parametrize(
    ("on_error", "granted"),
    [
        pytest.param(FALLBACK, [True, True, False], id="fallback"),
        pytest.param(OPEN, [True, True, True], id="open"),
        pytest.param(CLOSED, [False, False, False], id="closed"),
    ],
)
def test_claims_are_decided_without_the_storage(counting, on_error, granted):
    """A claim that cannot be counted is counted here, or passes, or does not."""
    assert [counting.take(CLAIM, on_error).decision.granted for _ in range(3)] == granted


def test_claim_counted_here_is_given_back_here(counting, down):
    """What was counted in this process is given back there, though the storage is up again."""
    first = counting.take(CLAIM, FALLBACK)
    counting.take(CLAIM, FALLBACK)
    down.is_up = True
    first.given_back()
    down.is_up = False
    assert [counting.take(CLAIM, FALLBACK).decision.granted for _ in range(2)] == [True, False]


def test_claim_that_cannot_be_given_back_stays_counted(counting, down):
    """An outage between granting and giving back harms nobody."""
    down.is_up = True
    counted = counting.take(CLAIM, FALLBACK)
    down.is_up = False
    counted.given_back()
    down.is_up = True
    assert counting.look(CLAIM).standings[0].used == 2


@pytest.mark.parametrize("on_error", [OPEN, CLOSED])
def test_claim_that_nobody_counted_has_nothing_to_give_back(counting, on_error):
    """Giving back is harmless where nothing was taken."""
    counted = counting.take(CLAIM, on_error)
    counted.given_back()
    assert counted.given_back() is counted


def test_looking_goes_on_without_the_storage(counting):
    """How things stand is told as far as this process knows."""
    counting.take(CLAIM, FALLBACK)
    assert counting.look(CLAIM).standings[0].used == 2


@pytest.mark.parametrize("operation", ["reset", "clear"])
def test_forgetting_says_that_it_could_not(counting, operation):
    """Who wants counts forgotten is told that the storage is down; the local ones are forgotten."""
    counting.take(CLAIM, FALLBACK)
    with pytest.raises(StorageError):
        counting.reset() if operation == "reset" else counting.clear(CLAIM.key)
    assert counting.look(CLAIM).standings[0].used == 1


@pytest.fixture
def make_down():
    """Return what makes an app whose Redis nobody listens for; keywords are settings."""
    resilience = Resilience()

    def make(**settings):
        app = Flask("down")
        settings = {"rate_limit": "2/minute", "log_level": "WARNING", **settings}
        app.config["RESILIENCE_STORAGE_URL"] = f"redis://127.0.0.1:{free_port()}/0"
        app.config.update({f"RESILIENCE_{key.upper()}": one for key, one in settings.items()})
        resilience.init_app(app)
        app.add_url_rule("/", "index", lambda: "")
        return app, resilience

    return make


def test_process_counts_alone_by_default(make_down):
    """The limit holds in this process, and clients are told how it stands."""
    app, _ = make_down()
    assert statuses(app, ["/"] * 3) == [200, 200, 429]
    (_, state), *_ = parse_list(ask(app).headers["RateLimit"])
    assert state["r"] == 0


def test_open_lets_all_in_and_says_nothing(make_down):
    """With ``open`` nobody is limited, and no answer tells of limits that nobody counted."""
    app, _ = make_down(rate_limit_on_storage_error="open")
    answers = [ask(app) for _ in range(5)]
    assert [one.status_code for one in answers] == [200] * 5
    assert not any("RateLimit" in one.headers for one in answers)


def test_closed_lets_nobody_in(make_down):
    """With ``closed`` the answer is a 503 problem that says when to come back."""
    app, _ = make_down(rate_limit_on_storage_error="closed")
    answer = ask(app)
    problem = answer.get_json()
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert (problem["code"], problem["status"]) == ("LIM-002", 503)
    assert problem["retry_after"] == int(answer.headers["Retry-After"]) >= 1
    assert "RateLimit" not in answer.headers


def test_limit_may_be_stricter_than_the_app(make_down):
    """A login can be closed where the app falls back."""
    app, resilience = make_down()
    login = resilience.limit("5/minute", on_storage_error="closed")(lambda: "")
    app.add_url_rule("/login", "login", login)
    assert statuses(app, ["/", "/login"]) == [200, 503]


def test_limit_may_be_laxer_than_the_app(make_down):
    """A view can be open where the app is closed, if no limit of the app's holds for it."""
    app, resilience = make_down(rate_limit="", rate_limit_on_storage_error="closed")
    app.add_url_rule(
        "/lax", "lax", resilience.limit("1/minute", on_storage_error="open")(lambda: "")
    )
    app.add_url_rule("/strict", "strict", resilience.limit("1/minute")(lambda: ""))
    assert statuses(app, ["/lax", "/lax", "/strict"]) == [200, 200, 503]


def test_closed_rejection_takes_nothing(make_down):
    """What a closed limit keeps out does not count for the app's, which falls back."""
    app, resilience = make_down()
    login = resilience.limit("5/minute", on_storage_error="closed")(lambda: "")
    app.add_url_rule("/login", "login", login)
    statuses(app, ["/login"] * 10)
    assert statuses(app, ["/"] * 3) == [200, 200, 429]


@pytest.mark.parametrize("on_error", ["fallback", "open", "closed"])
def test_outage_is_one_line(make_down, log_lines, on_error):
    """However many requests come during an outage, it is told of once."""
    app, resilience = make_down(rate_limit_on_storage_error=on_error)
    app.add_url_rule("/own", "own", resilience.limit("5/minute")(lambda: ""))
    statuses(app, ["/own"] * 10)
    (line,) = log_lines("storage.degraded")
    assert "limits" in line["used_for"]


def test_closed_limit_that_was_asked_late_reaches_no_view(make_down):
    """The view of a closed limit does not run."""
    app, resilience = make_down(rate_limit="")
    reached = []
    view = resilience.limit("5/minute", on_storage_error="closed")(lambda: reached.append(1) or "")
    app.add_url_rule("/login", "login", view)
    assert (statuses(app, ["/login"]), reached) == ([503], [])


def test_flask_limiters_own_limits_fall_back(make_down):
    """Limits of Flask-Limiter's go on in this process, too."""
    app, resilience = make_down(rate_limit="")
    with app.app_context():
        view = resilience.limiter.limit("2/minute")(lambda: "")
    app.add_url_rule("/own", "own", view)
    assert statuses(app, ["/own"] * 3) == [200, 200, 429]
