"""Limits on requests coming in."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.views import MethodView

from flask_resilience import ConfigurationError, Resilience


@pytest.fixture
def resilience(clock):
    """Return an extension with the default limit, whose counters are in memory."""
    return Resilience(clock=clock)


@pytest.fixture
def app(resilience):
    """Return an app with two plain routes and an exempt one."""
    app = Flask("limited", static_folder="typing_cases")
    resilience.init_app(app)
    app.add_url_rule("/a", "a", lambda: "a")
    app.add_url_rule("/b", "b", lambda: "b")
    app.add_url_rule("/health", "health", resilience.exempt(lambda: "well"))
    return app


def statuses(app, paths, address="192.0.2.1", **arguments):
    """Return the statuses of requests in a row from one client."""
    client = app.test_client()
    environ = {"REMOTE_ADDR": address}
    return [client.open(path, environ_base=environ, **arguments).status_code for path in paths]


def test_eleventh_request_of_a_minute_is_rejected_over_mixed_routes(app):
    """Ten requests pass over all routes together; the eleventh is a 429."""
    assert statuses(app, ["/a", "/b"] * 5) == [200] * 10
    assert statuses(app, ["/a", "/b"]) == [429, 429]


def test_other_clients_are_unaffected(app):
    """Each client has a quota of its own."""
    statuses(app, ["/a"] * 11)
    assert statuses(app, ["/a"], address="192.0.2.2") == [200]


def test_exempt_route_always_answers_and_costs_nothing(app):
    """An exempt view is free, and takes nothing from the quota."""
    assert statuses(app, ["/health"] * 30) == [200] * 30
    assert statuses(app, ["/a"] * 11) == [200] * 10 + [429]


def test_options_costs_nothing(app):
    """A preflight request takes nothing from the quota."""
    assert statuses(app, ["/a"] * 20, method="OPTIONS") == [200] * 20
    assert statuses(app, ["/a"]) == [200]


def test_endpoint_with_a_dot_needs_no_blueprint(app):
    """A route whose endpoint only looks like that of a blueprint is counted like any other."""
    app.add_url_rule("/x", "api.x", lambda: "x")
    assert statuses(app, ["/x"] * 11) == [200] * 10 + [429]


def test_rejection_is_a_problem_that_says_when_to_return(app):
    """A 429 is problem+json with Retry-After in whole seconds, and the request's ID."""
    statuses(app, ["/a"] * 10)
    answer = app.test_client().get("/a", environ_base={"REMOTE_ADDR": "192.0.2.1"})
    problem = answer.get_json()
    assert (answer.status_code, answer.mimetype) == (429, "application/problem+json")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert problem["retry_after"] == int(answer.headers["Retry-After"])
    assert (problem["code"], problem["status"]) == ("LIM-001", 429)
    assert problem["request_id"] == answer.headers["X-Request-ID"]


def test_rejection_is_told_as_rate_limited(app, log_lines):
    """The finish line of a rejected request says so."""
    statuses(app, ["/a"] * 11)
    assert log_lines("http.server.request.finish")[-1]["outcome"] == "rate_limited"


@pytest.mark.parametrize("early", [True, False], ids=["handler first", "extension first"])
def test_apps_own_handler_wins(resilience, early):
    """A handler for 429 of the app's own makes the answer, whichever came first."""
    app = Flask("own")
    app.config["RESILIENCE_RATE_LIMIT"] = "1/minute"
    if early:
        app.register_error_handler(429, lambda error: ("mine", 429))
    resilience.init_app(app)
    if not early:
        app.register_error_handler(429, lambda error: ("mine", 429))
    app.add_url_rule("/", "index", lambda: "")
    client = app.test_client()
    client.get("/")
    assert client.get("/").text == "mine"


def test_decorated_view_has_its_own_limit_beside_the_common_one(app, resilience):
    """``@limit`` adds to what holds for all routes."""

    @app.get("/strict")
    @resilience.limit("2/minute")
    def strict():
        return ""

    assert statuses(app, ["/strict"] * 3) == [200, 200, 429]
    assert statuses(app, ["/a"]) == [200]


def test_stacked_limits_hold_each_and_count_once(app, resilience):
    """Two limits on one view both hold, and one request counts once for each."""

    @app.get("/stacked")
    @resilience.limit("4/minute", methods=["GET"])
    @resilience.limit("3/minute")
    def stacked():
        return ""

    assert statuses(app, ["/stacked"] * 4) == [200, 200, 200, 429]


def test_key_cost_and_methods(app, resilience):
    """A limit may count by another key, take more than one, and hold for some verbs only."""

    @app.route("/costly", methods=["GET", "POST"])
    @resilience.limit("4/minute", key=lambda: "everybody", cost=2, methods=["POST"])
    def costly():
        return ""

    assert statuses(app, ["/costly"] * 3) == [200] * 3
    assert statuses(app, ["/costly"] * 2, method="POST") == [200, 200]
    assert statuses(app, ["/costly"], method="POST", address="192.0.2.9") == [429]


def test_limit_may_be_a_function(app, resilience):
    """A limit can be asked for at each request."""

    @app.get("/dynamic")
    @resilience.limit(lambda: "1/minute")
    def dynamic():
        return ""

    assert statuses(app, ["/dynamic"] * 2) == [200, 429]


def test_view_keeps_its_name_arguments_and_result(app, resilience):
    """A decorated view is still itself for Flask and for people."""

    @app.get("/item/<int:number>")
    @resilience.limit("5/minute")
    def item(number):
        """Say the number."""
        return str(number)

    assert (item.__name__, item.__doc__) == ("item", "Say the number.")
    assert app.test_client().get("/item/7").text == "7"


def test_decorated_view_serves_two_apps_with_counts_of_their_own(resilience):
    """One view module in two apps: each app counts for itself."""

    @resilience.limit("1/minute")
    def view():
        return ""

    apps = [Flask("one"), Flask("two")]
    for app in apps:
        resilience.init_app(app)
        app.add_url_rule("/", "view", view)
    assert [statuses(app, ["/", "/"]) for app in apps] == [[200, 429], [200, 429]]


@pytest.mark.parametrize("limit", ["five per minute", "", "10", "5/fortnight", "-1/minute"])
def test_limit_that_cannot_be_read_raises_when_decorated(resilience, limit):
    """A bad limit is no silent absence of one."""
    with pytest.raises(ConfigurationError, match=r"limit is .*; it must be limits like"):
        resilience.limit(limit)


@pytest.mark.parametrize("limit", ["ten per minute", "10 per minute;junk", 10])
def test_common_limit_that_cannot_be_read_fails_at_once(limit):
    """A bad RATE_LIMIT raises in init_app and names the key."""
    with pytest.raises(ConfigurationError, match="RESILIENCE_RATE_LIMIT is"):
        Resilience(Flask("wrong"), rate_limit=limit)


def test_limited_and_exempt_at_once_is_refused(resilience):
    """The two decorators contradict each other in either order."""
    for decorate in (
        lambda view: resilience.exempt(resilience.limit("1/minute")(view)),
        lambda view: resilience.limit("1/minute")(resilience.exempt(view)),
    ):
        with pytest.raises(ConfigurationError, match="both limited and exempt"):
            decorate(lambda: "")


def test_limiter_is_the_apps_flask_limiter(app, resilience):
    """Everything of Flask-Limiter is reachable."""
    with app.app_context():
        assert resilience.limiter in app.extensions["limiter"]


@pytest.mark.parametrize("strategy", ["fixed-window", "moving-window", "sliding-window-counter"])
def test_each_strategy_holds_the_limit(strategy, clock):
    """Whatever the strategy, the limit is the limit, and the wait is told."""
    app = Flask("strategy")
    Resilience(app, clock=clock, rate_limit="3/minute", rate_limit_strategy=strategy)
    app.add_url_rule("/", "index", lambda: "")
    assert statuses(app, ["/"] * 4) == [200, 200, 200, 429]
    answer = app.test_client().get("/", environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_views_of_one_name_keep_limits_of_their_own(app, resilience):
    """Two functions made by one factory have one name, and each its own limit."""

    def make(limit):
        @resilience.limit(limit)
        def view():
            return ""

        return view

    app.add_url_rule("/one", "one", make("1/minute"))
    app.add_url_rule("/three", "three", make("3/minute"))
    assert statuses(app, ["/one"] * 2) == [200, 429]
    assert statuses(app, ["/three"] * 4) == [200, 200, 200, 429]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"limit": 5}, "limit is 5", id="a number"),
        pytest.param({"limit": None}, "limit is None", id="nothing"),
        pytest.param({"limit": ["1/minute"]}, "limit is", id="a list"),
        pytest.param({"limit": "1/minute", "methods": "POST"}, "methods is 'POST'", id="one verb"),
        pytest.param({"limit": "1/minute", "methods": [1]}, "methods is", id="no verb"),
        pytest.param({"limit": "1/minute", "cost": 0}, "cost is 0", id="no cost"),
        pytest.param({"limit": "1/minute", "key": "user"}, "key is 'user'", id="no function"),
    ],
)
def test_wrong_argument_raises_when_decorated(resilience, arguments, message):
    """An argument that would silently mean "no limit" raises and is named."""
    with pytest.raises(ConfigurationError, match=message):
        resilience.limit(**arguments)


def test_class_based_view_can_be_limited(app, resilience):
    """``decorators`` of a class-based view take ``limit`` as they take any decorator."""

    class Items(MethodView):
        decorators = (resilience.limit("1/minute"),)

        def get(self):
            return "items"

    app.add_url_rule("/items", view_func=Items.as_view("items"))
    assert statuses(app, ["/items"] * 2) == [200, 429]


def test_limit_that_cannot_be_read_at_its_request_is_no_absence_of_one(app, resilience, log_lines):
    """A function that gives a bad limit makes the request fail loudly, not pass unlimited."""

    @app.get("/dynamic")
    @resilience.limit(lambda: "five per minute")
    def dynamic():
        return ""

    assert statuses(app, ["/dynamic"]) == [500]
    assert log_lines("http.server.request.exception")[0]["exception_type"] == "ConfigurationError"


@pytest.mark.parametrize("key", ["", None])
def test_empty_key_is_one_to_count_by(app, resilience, key):
    """Requests whose key is empty share one bucket; they are not free."""

    @app.get("/keyed")
    @resilience.limit("1/minute", key=lambda: key)
    def keyed():
        return ""

    assert statuses(app, ["/keyed"] * 2) == [200, 429]
