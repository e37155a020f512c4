"""Limits and exemptions that stand where they cannot hold are told of, at the first request."""

from __future__ import annotations

from functools import wraps

import pytest
from flask import Blueprint
from flask.views import MethodView

from flask_resilience import ConfigurationError
from flask_resilience.testing import record_events
from tests.rate_limits.asking import ask, statuses
from tests.servers import run_python


def passing(function):
    """Decorate a function, and say so by ``functools.wraps``."""

    @wraps(function)
    def around(*arguments, **named):
        return function(*arguments, **named)

    return around


def hiding(function):
    """Decorate a function, and let nobody see which."""

    def around(*arguments, **named):
        return function(*arguments, **named)

    return around


@pytest.fixture
def app(make_limited):
    """Return an app whose errors come through to the test."""
    app = make_limited()
    app.testing = True
    return app


@pytest.fixture(params=["limit", "exempt"])
def decorator(request, resilience):
    """Return each decorator in turn."""
    return resilience.limit("1/minute") if request.param == "limit" else resilience.exempt


def test_exemption_right_above_the_route_holds(make_limited, resilience):
    """The route returns the view itself, and so does the exemption."""
    app = make_limited(rate_limit="1/minute")

    @resilience.exempt
    @app.get("/")
    def index():
        return ""

    assert statuses(app, ["/"] * 3) == [200] * 3


def test_limit_right_above_the_route_is_refused(app, resilience):
    """The route has the bare view by then; the error names it and the remedy."""

    @resilience.limit("1/minute")
    @app.get("/")
    def index():
        return ""

    with pytest.raises(ConfigurationError, match=r"index: .*put @resilience\.limit .* under it"):
        ask(app)


def test_decorator_above_another_above_the_route_is_refused(app, decorator):
    """The same with one between that says what it wraps."""

    @app.get("/")
    def index():
        return ""

    kept = decorator(passing(index))
    with pytest.raises(ConfigurationError, match=r"index: .*put @resilience\.limit .* under it"):
        ask(app)
    assert kept is not None


def test_it_is_refused_though_nobody_keeps_what_it_made(app, decorator):
    """A view of a factory, whose name is gone by the first request, is found all the same."""

    def make():
        @decorator
        @passing
        @app.get("/")
        def index():
            return ""

    make()
    with pytest.raises(ConfigurationError, match="index"):
        ask(app)


def test_it_is_refused_at_every_request(app, resilience):
    """The first request does not use the error up: none is served unlimited."""
    app.testing = False
    kept = resilience.limit("1/minute")(app.get("/")(lambda: ""))
    assert statuses(app, ["/"] * 3) == [500] * 3
    assert kept is not None


def test_decorator_above_the_route_of_a_blueprint_is_refused(app, decorator):
    """The same holds for ``@blueprint.route``."""
    blueprint = Blueprint("shop", __name__)

    @decorator
    @passing
    @blueprint.get("/")
    def index():
        return ""

    app.register_blueprint(blueprint)
    with pytest.raises(ConfigurationError, match="index"):
        ask(app)


@pytest.fixture
def items():
    """Return a class of views."""

    class Items(MethodView):
        def get(self):
            return ""

    return Items


def test_class_decorated_after_its_view_was_made_is_refused(app, decorator, items):
    """The view that Flask has was made without what the class got later."""
    app.add_url_rule("/", view_func=items.as_view("items"))
    decorator(items)
    with pytest.raises(ConfigurationError, match="Items: the view is registered without"):
        ask(app)


def test_class_whose_decorators_leave_its_base_out_is_refused(app, decorator, items):
    """A subclass with a list of its own does not inherit its base's limit."""

    class Own(decorator(items)):
        decorators = (passing,)

    app.add_url_rule("/", view_func=Own.as_view("own"))
    with pytest.raises(ConfigurationError, match="Own: "):
        ask(app)


def test_subclass_inherits_the_limit_of_its_base(app, resilience, items):
    """A class that was limited in time is limited, and what is made of it too."""

    class Special(resilience.limit("1/minute")(items)):
        pass

    app.add_url_rule("/special", view_func=Special.as_view("special"))
    assert statuses(app, ["/special"] * 2) == [200, 429]


def test_limited_class_and_its_subclass_count_apart(app, resilience, items):
    """Each endpoint has the limit by itself."""
    special = type("Special", (resilience.limit("1/minute")(items),), {})
    for name, view in (("items", items), ("special", special)):
        app.add_url_rule(f"/{name}", view_func=view.as_view(name))
    assert statuses(app, ["/items", "/special"] * 2) == [200, 200, 429, 429]


@pytest.mark.parametrize("code", [404, LookupError], ids=["a status", "an exception"])
@pytest.mark.parametrize("place", ["app", "blueprint"])
def test_limit_on_an_error_handler_is_refused(app, resilience, code, place):
    """A rejection while an error is answered would be another error."""
    handler = resilience.limit("1/minute")(lambda error: ("", 404))
    if place == "app":
        app.register_error_handler(code, handler)
    else:
        blueprint = Blueprint("shop", __name__)
        blueprint.register_error_handler(code, handler)
        app.register_blueprint(blueprint)
    with pytest.raises(ConfigurationError, match="handles errors"):
        ask(app)


def test_limited_view_may_call_a_free_one(app, resilience):
    """A view that is known to a limited one, and registered by itself, is free by itself."""

    @app.get("/free")
    def free():
        return ""

    @app.get("/limited")
    @resilience.limit("1/minute")
    def limited():
        return free()

    assert statuses(app, ["/free", "/limited"] * 2) == [200, 200, 200, 429]


def test_error_names_every_view(app, resilience):
    """All misplaced decorators are told at once."""

    @resilience.limit("1/minute")
    @app.get("/a")
    def first():
        return ""

    @resilience.exempt
    @passing
    @app.get("/b")
    def second():
        return ""

    with pytest.raises(ConfigurationError, match=r"first, .*second: "):
        ask(app, "/a")


@pytest.mark.parametrize(
    "decorate",
    [
        pytest.param(lambda app, limit, view: app.get("/")(limit(view)), id="plain"),
        pytest.param(lambda app, limit, view: app.get("/")(passing(limit(view))), id="wrapped"),
        pytest.param(lambda app, limit, view: app.get("/")(limit(passing(view))), id="wrapping"),
        pytest.param(lambda app, limit, view: app.get("/")(hiding(limit(view))), id="hidden"),
        pytest.param(lambda app, limit, view: app.get("/")(limit(hiding(view))), id="hiding"),
    ],
)
def test_decorator_under_the_route_holds(app, resilience, decorate):
    """Every order in which ``@limit`` is under the route works, whatever else stands there."""

    def view():
        return ""

    decorate(app, resilience.limit("1/minute"), view)
    assert statuses(app, ["/"] * 2) == [200, 429]


def test_one_function_may_be_limited_here_and_free_there(app, resilience):
    """Registered raw and limited in one app, each endpoint is as it was said."""

    def view():
        return ""

    app.add_url_rule("/free", "free", view)
    app.add_url_rule("/limited", "limited", resilience.limit("1/minute")(view))
    assert statuses(app, ["/free"] * 3) == [200] * 3
    assert statuses(app, ["/limited"] * 2) == [200, 429]


def test_hidden_exemption_is_told_once(make_limited, resilience):
    """A decorator without ``functools.wraps`` above ``@exempt`` undoes it; one event says so."""
    app = make_limited(rate_limit="2/minute")

    @resilience.exempt
    def health():
        return ""

    app.add_url_rule("/health", "health", hiding(health))
    with record_events(app) as events:
        answers = statuses(app, ["/health"] * 3)
    suspicions = [one for one in events if hasattr(one, "check")]
    assert [one.check for one in suspicions] == ["exemption_hidden"]
    assert "health" in suspicions[0].hint
    assert answers == [200, 200, 429]


def test_hidden_exemption_is_one_line_of_the_log(make_limited, resilience, log_lines):
    """The line names the check and the remedy."""
    app = make_limited(rate_limit="2/minute")
    app.add_url_rule("/health", "health", hiding(resilience.exempt(lambda: "")))
    statuses(app, ["/health"] * 2)
    (line,) = log_lines("config.suspicious")
    assert (line["check"], line["level"]) == ("exemption_hidden", "warning")
    assert "functools.wraps" in line["hint"]


def test_visible_exemption_is_told_nothing_of(make_limited, resilience):
    """With ``functools.wraps`` the exemption holds, and there is nothing to tell."""
    app = make_limited(rate_limit="2/minute")
    app.add_url_rule("/health", "health", passing(resilience.exempt(lambda: "")))
    with record_events(app) as events:
        assert statuses(app, ["/health"] * 3) == [200] * 3
    assert not [one for one in events if hasattr(one, "check")]


def test_exempt_method_of_a_class_is_told_of(make_limited, resilience):
    """``@exempt`` on one method of a class-based view frees nothing, and one event says so."""
    app = make_limited(rate_limit="2/minute")

    class Health(MethodView):
        @resilience.exempt
        def get(self):
            return ""

    app.add_url_rule("/health", view_func=Health.as_view("health"))
    with record_events(app) as events:
        answers = statuses(app, ["/health"] * 3)
    assert answers == [200, 200, 429]
    assert [one.check for one in events if hasattr(one, "check")] == ["exemption_hidden"]


def shared_view():
    """Serve in some apps as it is, in others limited."""
    return ""


MISPLACED = """
from flask import Flask
from flask_resilience import ConfigurationError, Resilience

resilience = Resilience(storage_url="memory://", log_format="off")
app = Flask("shop")
app.testing = True
resilience.init_app(app)

@resilience.limit("1/minute")
@app.get("/")
def index():
    return ""

try:
    app.test_client().get("/")
except ConfigurationError as error:
    print(error)
"""


def test_view_of_a_module_is_found_too():
    """Where a decorator has taken the place of a module's view, it is refused as anywhere."""
    assert "index: the view is registered without its limit" in run_python(MISPLACED)


def test_view_that_another_app_limits_may_be_free_in_this(app, make_limited, resilience):
    """A module's view that keeps its name was not decorated by mistake."""
    other = make_limited()
    other.add_url_rule("/", view_func=resilience.limit("1/minute")(shared_view))
    app.add_url_rule("/", view_func=shared_view)
    assert statuses(app, ["/"] * 3) == [200] * 3
    assert statuses(other, ["/"] * 2) == [200, 429]
