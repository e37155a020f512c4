"""Who makes the answer to a rejected request, and what it carries."""

from __future__ import annotations

import pytest
from flask import Blueprint
from flask_limiter import RateLimitExceeded
from werkzeug.exceptions import HTTPException

from tests.rate_limits.asking import ask, exhaust


@pytest.fixture
def app(make_limited):
    """Return an app with one request a minute."""
    app = make_limited(rate_limit="1/minute", rate_limit_strategy="fixed-window")
    app.add_url_rule("/", "index", lambda: "")
    return app


@pytest.mark.parametrize("kind", [429, RateLimitExceeded])
def test_apps_own_handler_answers_with_our_headers(app, kind):
    """A handler of the app's makes the body; how long to wait and how limits stand is told."""
    app.register_error_handler(kind, lambda error: ("mine", 429))
    answer = exhaust(app)
    assert (answer.text, answer.headers["Retry-After"]) == ("mine", "60")
    assert {"RateLimit", "RateLimit-Policy"} <= set(answer.headers.keys())


@pytest.mark.parametrize("status", [200, 403])
def test_handler_with_another_status_asks_for_no_wait(app, status):
    """Retry-After stands on a 429 or 503 alone."""
    app.register_error_handler(429, lambda error: ("mine", status))
    ask(app)
    answer = ask(app)
    assert (answer.status_code, answer.text) == (status, "mine")
    assert "Retry-After" not in answer.headers


def test_handlers_own_retry_after_stays(app):
    """What the app's handler says of waiting is what the client is told."""
    app.register_error_handler(429, lambda error: ("mine", 429, {"Retry-After": "7"}))
    assert exhaust(app).headers.get_all("Retry-After") == ["7"]


@pytest.mark.parametrize("kind", [HTTPException, Exception])
def test_handler_of_all_errors_wins(app, kind):
    """A handler for whatever goes wrong answers for this, too, and may go on from our answer."""

    def handle(error):
        response = error.get_response()
        response.data = "mine"
        return response

    app.register_error_handler(kind, handle)
    answer = exhaust(app)
    assert (answer.text, answer.headers.get_all("Retry-After")) == ("mine", ["60"])


def test_handler_of_a_blueprint_wins(make_limited):
    """A blueprint's handler answers for its views."""
    app, blueprint = make_limited(rate_limit="1/minute"), Blueprint("shop", __name__)
    blueprint.add_url_rule("/", "index", lambda: "")
    blueprint.register_error_handler(429, lambda error: ("the shop's", 429))
    app.register_blueprint(blueprint)
    answer = exhaust(app)
    assert answer.text == "the shop's"
    assert "Retry-After" in answer.headers


def test_handler_is_told_which_limit_it_was(app):
    """The exception says the limit in words."""
    app.register_error_handler(429, lambda error: (error.description, 429))
    assert exhaust(app).text == "1 per 1 minute"


def test_handler_sees_the_limit_that_blocks(make_limited, resilience):
    """Of several quotas the one is named that takes the longest."""
    app = make_limited(rate_limit_strategy="fixed-window")
    app.add_url_rule("/", "index", resilience.limit("2/second;2/hour")(lambda: ""))
    app.register_error_handler(RateLimitExceeded, lambda error: (str(error.limit.limit), 429))
    assert exhaust(app).text == "2 per 1 hour"


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        pytest.param("*/*", "application/problem+json", id="anything"),
        pytest.param("application/json", "application/problem+json", id="JSON"),
        pytest.param("text/html,*/*;q=0.1", "text/html", id="a browser"),
    ],
)
def test_rejection_is_in_the_clients_language(app, accept, mimetype):
    """A browser gets HTML, all others a problem; each is told how long to wait."""
    answer = exhaust(app, headers={"Accept": accept})
    assert (answer.mimetype, answer.headers["Retry-After"]) == (mimetype, "60")


def test_head_is_rejected_without_a_body(app):
    """A rejected HEAD has the headers and no body."""
    answer = exhaust(app, method="HEAD")
    assert (answer.data, answer.headers["Retry-After"]) == (b"", "60")


def test_problem_says_no_more_than_it_must(app):
    """No key, limit or address of anybody is in the body."""
    problem = exhaust(app, address="203.0.113.9").get_json()
    assert set(problem) == {
        "type", "title", "status", "detail", "instance", "request_id", "code", "retry_after",
    }  # fmt: skip
    assert "203.0.113.9" not in str(problem)


def test_rejection_without_handled_errors_is_the_same(make_limited):
    """HANDLE_ERRORS=False leaves rejections as they are: they are no errors of the app."""
    app = make_limited(rate_limit="1/minute", handle_errors=False)
    app.add_url_rule("/", "index", lambda: "")
    assert exhaust(app).mimetype == "application/problem+json"


def test_rejection_comes_through_to_nobody_in_tests(app):
    """An app under test answers 429 like any other; no exception escapes."""
    app.testing = True
    assert exhaust(app).status_code == 429
