"""What a client is answered when an outbound call failed and the view let it escape."""

from __future__ import annotations

import pytest
import requests
from flask import Blueprint, Flask, abort
from werkzeug.exceptions import HTTPException

from flask_resilience import (
    CircuitOpenError,
    ConfigurationError,
    DeadlineExceededError,
    Resilience,
)


@pytest.fixture
def answer_to(make_app):
    """Return what gives the answer to a request whose view raises."""

    def ask(error, accept=None, prepare=None, **settings):
        app = make_app(**settings)

        @app.get("/x")
        def view():
            raise error

        if prepare is not None:
            prepare(app)
        headers = {} if accept is None else {"Accept": accept}
        return app.test_client().get("/x", headers=headers)

    return ask


def http_error(status):
    """Return what ``raise_for_status`` raises."""
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        pytest.param(CircuitOpenError("a", 12.2, "503"), 503, "CIR-001", id="circuit open"),
        pytest.param(DeadlineExceededError("a", 5.0, 2), 504, "DLN-001", id="deadline"),
        pytest.param(requests.ConnectionError(), 502, "NET-001", id="connection"),
        pytest.param(requests.ReadTimeout(), 504, "NET-002", id="read timeout"),
        pytest.param(requests.ConnectTimeout(), 504, "NET-002", id="connect timeout"),
        pytest.param(
            requests.exceptions.ChunkedEncodingError(), 502, "NET-001", id="truncated body"
        ),
        pytest.param(http_error(503), 502, "NET-001", id="5xx made an exception"),
        pytest.param(http_error(429), 502, "NET-001", id="429 made an exception"),
        pytest.param(http_error(404), 500, "INT-001", id="4xx made an exception: our mistake"),
        pytest.param(requests.exceptions.InvalidURL(), 500, "INT-001", id="our mistake"),
        pytest.param(ValueError("secret"), 500, "INT-001", id="any other exception"),
    ],
)
def test_escaped_error_becomes_a_problem(answer_to, error, status, code):
    """Each kind of failure has its status and code, and no text of the exception."""
    answer = answer_to(error)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    problem = answer.get_json()
    assert (problem["status"], problem["code"], problem["instance"]) == (status, code, "/x")
    assert set(problem) <= {
        *("type", "title", "status", "detail", "instance", "request_id", "code", "retry_after")
    }
    assert problem["type"].endswith("#" + code.lower())
    assert "secret" not in answer.text


def test_open_circuit_says_when_to_return(answer_to):
    """A 503 of an open circuit has Retry-After in whole seconds, rounded up."""
    answer = answer_to(CircuitOpenError("billing", 12.2, "503"))
    assert (answer.headers["Retry-After"], answer.get_json()["retry_after"]) == ("13", 13)


def test_client_that_prefers_html_gets_it(answer_to):
    """A browser is answered a page of the same facts."""
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    answer = answer_to(requests.ConnectionError(), accept=accept)
    assert (answer.status_code, answer.mimetype) == (502, "text/html")
    assert "NET-001" in answer.text


def test_hostile_path_is_escaped_in_html(make_app):
    """A path with markup cannot put any into the page."""
    app = make_app()
    app.add_url_rule("/<path:any>", "boom", lambda any: 1 / 0)  # noqa: A006
    answer = app.test_client().get("/<script>x</script>", headers={"Accept": "text/html"})
    assert "<script>" not in answer.text


def test_troubleshooting_is_for_debugging_only(answer_to):
    """How to mend it is told while debugging, and to no stranger."""
    error = requests.ConnectionError()
    assert "troubleshooting" not in answer_to(error).get_json()
    told = answer_to(error, prepare=lambda app: setattr(app, "debug", True)).get_json()
    assert told["troubleshooting"]


def test_apps_own_handlers_win(answer_to):
    """A handler of the app's own for the same exception makes the answer."""

    def own(app):
        app.register_error_handler(requests.RequestException, lambda error: ("mine", 599))

    assert answer_to(requests.ConnectionError(), prepare=own).status_code == 599


def test_apps_own_handler_for_http_errors_makes_the_500(answer_to):
    """An app that formats every HTTP error itself formats the 500, too."""

    def own(app):
        app.register_error_handler(HTTPException, lambda error: (f"mine {error.code}", error.code))

    assert answer_to(ValueError(), prepare=own).text == "mine 500"


def test_other_aborts_are_left_alone(make_app):
    """What a view answers by abort stays Flask's own page."""
    app = make_app()
    app.add_url_rule("/", "teapot", lambda: abort(418))
    assert app.test_client().get("/").mimetype == "text/html"


def test_handling_can_be_turned_off(answer_to):
    """With HANDLE_ERRORS off an escaped failure is Flask's own 500."""
    answer = answer_to(requests.ConnectionError(), handle_errors=False)
    assert (answer.status_code, answer.mimetype) == (500, "text/html")


def test_finish_line_names_the_error(answer_to, log_lines):
    """The finish line of such a request says what escaped."""
    answer_to(CircuitOpenError("billing", 1.0, "503"))
    (line,) = log_lines("http.server.request.finish")
    assert (line["error_type"], line["level"]) == ("CircuitOpenError", "error")


def test_view_that_calls_a_dead_upstream_answers_fast_problems(make_app, make_upstream):
    """End to end: the upstream fails, the circuit opens, and the view answers 503."""
    app, upstream = make_app(), make_upstream(500)
    resilience = Resilience()

    @app.get("/x")
    def view():
        return resilience.session.get(upstream.url).text

    client = app.test_client()
    answers = [client.get("/x") for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 503]
    assert answers[2].get_json()["code"] == "CIR-001"
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 66
    assert len(upstream.requests) == 5
    assert isinstance(app, Flask)


def test_mistake_in_a_view_is_no_upstreams_failure(make_app, log_lines):
    """A ``ConfigurationError`` of a view is an exception like any other, with its traceback."""
    app = make_app()
    app.add_url_rule("/", "index", lambda: Resilience().client("nobody").get("/"))
    assert app.test_client().get("/").get_json()["code"] == "INT-001"
    (line,) = log_lines("http.server.request.exception")
    assert line["exception_type"] == "ConfigurationError"
    app.testing = True
    with pytest.raises(ConfigurationError):
        app.test_client().get("/")


@pytest.mark.parametrize("early", [True, False], ids=["handler first", "extension first"])
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        pytest.param(requests.RequestException, requests.ConnectionError(), id="the exception's"),
        pytest.param(Exception, requests.ConnectionError(), id="one for all exceptions"),
        pytest.param(500, ValueError(), id="one for 500"),
        pytest.param(HTTPException, ValueError(), id="one for HTTP errors"),
        pytest.param(Exception, ValueError(), id="one for all, of another exception"),
    ],
)
def test_handler_of_the_apps_own_wins(kind, error, early):
    """Whatever handler of its own an app has, and whenever it was registered, it answers."""
    app = Flask("own")

    def own(error):
        return "mine", 599

    if early:
        app.register_error_handler(kind, own)
    Resilience(app, rate_limit="")
    if not early:
        app.register_error_handler(kind, own)

    @app.get("/")
    def index():
        raise error

    assert app.test_client().get("/").text == "mine"


@pytest.mark.parametrize("kind", [HTTPException, Exception, 500])
def test_handler_of_a_blueprint_wins(make_app, kind):
    """A blueprint's own handlers answer for its views, aborts included."""
    app, blueprint = make_app(), Blueprint("part", __name__)
    blueprint.register_error_handler(kind, lambda error: ("the blueprint's", 500))
    blueprint.add_url_rule("/abort", "abort", lambda: abort(500))
    blueprint.add_url_rule("/boom", "boom", lambda: 1 / 0)
    app.register_blueprint(blueprint)
    client = app.test_client()
    assert [client.get(path).text for path in ("/abort", "/boom")] == ["the blueprint's"] * 2


@pytest.mark.parametrize("kind", [502, HTTPException])
def test_handler_for_the_status_wins(answer_to, kind):
    """An app's page for a status is shown for an upstream's failure as well."""

    def own(app):
        app.register_error_handler(kind, lambda error: (f"mine for {error.code}", 502))

    assert answer_to(requests.ConnectionError(), prepare=own).text == "mine for 502"
