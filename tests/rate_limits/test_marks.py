"""What can be limited or exempt: views, classes of views, their methods, blueprints."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path

import pytest
from flask import Blueprint, Flask
from flask.views import MethodView, View
from flask_limiter import RateLimitExceeded

from flask_resilience import ConfigurationError
from flask_resilience.errors import ResilienceError
from tests.rate_limits.asking import ask, exhaust, statuses
from tests.rate_limits.structured_fields import parse_list


def loud(function):
    """Decorate a view so that its answer shows it."""

    @wraps(function)
    def around(*arguments, **named):
        return function(*arguments, **named) + "!"

    return around


def test_code_between_two_limits_runs(make_limited, resilience):
    """A decorator that stands between two limits is kept."""
    app, limit = make_limited(), resilience.limit
    app.add_url_rule("/", "index", limit("9/minute")(loud(limit("2/minute")(lambda: "hello"))))
    assert ask(app).text == "hello!"


@pytest.mark.parametrize(
    ("above", "below"),
    [
        pytest.param("2/minute", "9/minute", id="above"),
        pytest.param("9/minute", "2/minute", id="below"),
    ],
)
def test_both_limits_hold_with_a_decorator_between(make_limited, resilience, above, below):
    """Of two limits with something between them each holds."""
    app, limit = make_limited(), resilience.limit
    app.add_url_rule("/", "index", limit(above)(loud(limit(below)(lambda: ""))))
    assert statuses(app, ["/"] * 3) == [200, 200, 429]


def test_like_limits_with_a_decorator_between_count_apart(make_limited, resilience):
    """Two limits that read alike are two: a request counts once for each, not twice for one."""
    app, limit = make_limited(), resilience.limit
    app.add_url_rule("/", "index", limit("2/minute")(loud(limit("2/minute")(lambda: ""))))
    assert statuses(app, ["/"] * 3) == [200, 200, 429]


def test_like_limits_on_one_another_count_apart(make_limited, resilience):
    """The same right on top of one another."""
    app, limit = make_limited(), resilience.limit
    app.add_url_rule("/", "index", limit("2/minute")(limit("2/minute")(lambda: "")))
    assert statuses(app, ["/"] * 3) == [200, 200, 429]


def test_decorated_again_elsewhere_leaves_the_first_as_it_was(make_limited, resilience):
    """A limited view that is limited once more for another route keeps its own limits."""
    app = make_limited()
    once = resilience.limit("3/minute")(lambda: "")
    app.add_url_rule("/once", "once", once)
    app.add_url_rule("/twice", "twice", resilience.limit("1/minute")(once))
    assert statuses(app, ["/twice"] * 2) == [200, 429]
    assert statuses(app, ["/once"] * 4) == [200, 200, 200, 429]


def test_factory_views_of_one_name_and_limit_count_apart(make_limited, resilience):
    """Two functions of one qualified name under like limits do not share a quota."""

    def make():
        @resilience.limit("2/minute")
        def view():
            return ""

        return view

    app = make_limited()
    app.add_url_rule("/one", "one", make())
    app.add_url_rule("/two", "two", make())
    assert statuses(app, ["/one", "/two"] * 2) == [200] * 4
    assert statuses(app, ["/one", "/two"]) == [429, 429]


def test_one_view_at_two_endpoints_counts_apart(make_limited, resilience):
    """A limit holds for each endpoint by itself."""
    app, view = make_limited(), resilience.limit("1/minute")(lambda: "")
    app.add_url_rule("/one", "one", view)
    app.add_url_rule("/two", "two", view)
    assert statuses(app, ["/one", "/two", "/one", "/two"]) == [200, 200, 429, 429]


@pytest.mark.parametrize(
    "target", [None, "view", object(), int], ids=["nothing", "a text", "an object", "a class"]
)
@pytest.mark.parametrize("kind", ["limit", "exempt"])
def test_what_is_no_view_is_refused(resilience, target, kind):
    """Something that is not called for requests cannot be limited or exempt."""
    decorate = resilience.exempt if kind == "exempt" else resilience.limit("1/minute")
    with pytest.raises(ConfigurationError, match=f"@{kind} stands on") as caught:
        decorate(target)
    assert isinstance(caught.value, ResilienceError)


def test_object_that_can_be_called_is_a_view(make_limited, resilience):
    """An instance with ``__call__``, or a partial, can be limited."""

    class Greeting:
        def __call__(self):
            return "hello"

    app = make_limited()
    app.add_url_rule("/object", "object", resilience.limit("1/minute")(Greeting()))
    app.add_url_rule("/partial", "partial", resilience.limit("1/minute")(partial(str, "hello")))
    for path in ("/object", "/partial"):
        assert ask(app, path).text == "hello"
        assert ask(app, path).status_code == 429


def test_view_that_cannot_be_hashed_serves(make_limited):
    """A view that is an instance of a dataclass is held to the app's limit like any other."""

    @dataclass
    class Page:
        text: str

        def __call__(self):
            return self.text

    app = make_limited(rate_limit="1/minute")
    app.add_url_rule("/", "page", Page("hello"))
    assert ask(app).text == "hello"
    assert ask(app).status_code == 429


@dataclass
class Unhashable:
    """What can be called, and not be hashed."""

    def __call__(self):
        """Answer nothing."""
        return ""


class Unreferable:
    """What can be called, and not be referred to weakly."""

    __slots__ = ()

    def __call__(self):
        """Answer nothing."""
        return ""


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(Unhashable(), id="not hashed"),
        pytest.param(Unreferable(), id="not referred to"),
    ],
)
@pytest.mark.parametrize("kind", ["limit", "exempt"])
def test_view_that_cannot_be_marked_is_refused(resilience, view, kind):
    """A view that nothing can be noted of is refused as it is decorated."""
    decorate = resilience.exempt if kind == "exempt" else resilience.limit("1/minute")
    with pytest.raises(ConfigurationError, match=f"@{kind} stands on"):
        decorate(view)


def test_bound_method_is_a_view(make_limited, resilience):
    """A method of an object can be limited, and exempt, by what the decorator returns."""

    class Desk:
        def greet(self):
            return "hello"

    app, desk = make_limited(rate_limit="5/minute"), Desk()
    app.add_url_rule("/free", "free", resilience.exempt(desk.greet))
    assert statuses(app, ["/free"] * 7) == [200] * 7


def test_coroutine_function_stays_one(resilience):
    """Flask must see that an async view is one, to run it."""

    async def view():
        return ""

    assert inspect.iscoroutinefunction(resilience.limit("1/minute")(view))


def test_async_view_is_counted(make_limited, resilience):
    """An async view is limited as it is awaited."""

    @resilience.limit("1/minute")
    async def view():
        return "awaited"

    app = make_limited()
    with app.test_request_context("/"):
        assert asyncio.run(view()) == "awaited"
    with app.test_request_context("/"), pytest.raises(RateLimitExceeded):
        asyncio.run(view())


def test_class_of_views_is_limited_as_a_whole(make_limited, resilience):
    """A limit on the class holds for all its verbs together."""

    @resilience.limit("2/minute")
    class Items(MethodView):
        def get(self):
            return "got"

        def post(self):
            return "posted"

    app = make_limited()
    app.add_url_rule("/", view_func=Items.as_view("items"))
    assert [ask(app).text, ask(app, method="POST").text] == ["got", "posted"]
    assert [ask(app, method=verb).status_code for verb in ("GET", "POST")] == [429, 429]


def test_limit_on_a_class_leaves_its_base_alone(make_limited, resilience):
    """What a class adds to its decorators it adds for itself."""

    class Base(View):
        def dispatch_request(self):
            return ""

    class Strict(Base):
        pass

    resilience.limit("1/minute")(Strict)
    app = make_limited()
    app.add_url_rule("/base", view_func=Base.as_view("base"))
    app.add_url_rule("/strict", view_func=Strict.as_view("strict"))
    assert statuses(app, ["/base"] * 3) == [200] * 3
    assert statuses(app, ["/strict"] * 2) == [200, 429]


def test_method_of_a_class_is_limited_by_itself(make_limited, resilience):
    """A limit on one method holds for its verb alone, and a rejection costs the app's nothing."""

    class Items(MethodView):
        @resilience.limit("1/minute")
        def post(self):
            return "posted"

        def get(self):
            return "got"

    app = make_limited(rate_limit="10/minute")
    app.add_url_rule("/", view_func=Items.as_view("items"))
    assert statuses(app, ["/"] * 3, method="POST") == [200, 429, 429]
    answer = ask(app)
    assert answer.status_code == 200
    assert parse_list(answer.headers["RateLimit"])[0][1]["r"] == 8


def test_exempt_class_is_free(make_limited, resilience):
    """An exemption on a class holds for all its verbs."""

    @resilience.exempt
    class Health(MethodView):
        def get(self):
            return ""

    app = make_limited(rate_limit="1/minute")
    app.add_url_rule("/", view_func=Health.as_view("health"))
    assert statuses(app, ["/"] * 3) == [200] * 3


def test_class_cannot_be_both(make_limited, resilience):
    """A class that is limited and exempt is refused as it becomes a view."""

    @resilience.exempt
    @resilience.limit("1/minute")
    class Items(MethodView):
        def get(self):
            return ""

    with pytest.raises(ConfigurationError, match="both limited and exempt"):
        Items.as_view("items")


@pytest.fixture
def nested(make_limited, resilience):
    """Return an app with a blueprint within a limited one, each with two views."""
    outer, inner = Blueprint("outer", __name__), Blueprint("inner", __name__)
    resilience.limit("2/minute")(outer)
    for blueprint in (outer, inner):
        for name in ("a", "b"):
            path = f"/{blueprint.name}/{name}"
            blueprint.add_url_rule(path, name, lambda: "")
    outer.register_blueprint(inner)
    app = make_limited()
    app.add_url_rule("/elsewhere", "elsewhere", lambda: "")
    app.register_blueprint(outer)
    return app


@pytest.mark.parametrize("path", ["/outer/a", "/inner/a"])
def test_limit_of_a_blueprint_holds_for_its_views_and_those_within(nested, path):
    """Each view of a limited blueprint, and of a blueprint in it, is limited."""
    assert statuses(nested, [path] * 3) == [200, 200, 429]


def test_limit_of_a_blueprint_holds_for_each_view_by_itself(nested):
    """Its views do not share a quota, and other views have none."""
    exhaust(nested, "/outer/a")
    assert statuses(nested, ["/outer/b", "/inner/b"]) == [200, 200]
    assert statuses(nested, ["/elsewhere"] * 5) == [200] * 5


def test_two_limits_of_a_blueprint_both_hold(make_limited, resilience):
    """A blueprint may have several, and a request counts once for each."""
    blueprint = Blueprint("shop", __name__)
    blueprint.add_url_rule("/", "index", lambda: "")
    for limit in ("2/minute", "2/minute", "100/hour"):
        resilience.limit(limit)(blueprint)
    app = make_limited()
    app.register_blueprint(blueprint)
    answer = ask(app)
    names = [name for name, _ in parse_list(answer.headers["RateLimit"])]
    assert len(set(names)) == 3
    assert statuses(app, ["/"] * 2) == [200, 429]


def test_blueprints_of_one_name_count_apart(make_limited, resilience):
    """A blueprint within one of the same name has a limit of its own."""
    outer, inner = Blueprint("api", "shop"), Blueprint("api", "shop.items")
    for blueprint in (outer, inner):
        resilience.limit("2/minute")(blueprint)
    inner.add_url_rule("/", "index", lambda: "")
    outer.register_blueprint(inner)
    app = make_limited()
    app.register_blueprint(outer)
    assert statuses(app, ["/"] * 3) == [200, 200, 429]


def test_view_is_held_to_its_blueprints_limit_and_its_own(make_limited, resilience):
    """Both hold, and a rejection by the view's is not counted by the blueprint's."""
    blueprint = resilience.limit("3/minute")(Blueprint("shop", __name__))
    blueprint.add_url_rule("/", "index", resilience.limit("1/second")(lambda: ""))
    app = make_limited()
    app.register_blueprint(blueprint)
    assert statuses(app, ["/"] * 9) == [200] + [429] * 8
    left = {name: state["r"] for name, state in parse_list(ask(app).headers["RateLimit"])}
    assert left["view: 1 per 1 second"] == 0


def test_exempt_blueprint_is_free(make_limited, resilience):
    """The views of an exempt blueprint are free of the app's limit, and cost nothing."""
    blueprint = resilience.exempt(Blueprint("health", __name__))
    blueprint.add_url_rule("/health", "health", lambda: "")
    app = make_limited(rate_limit="2/minute")
    app.add_url_rule("/", "index", lambda: "")
    app.register_blueprint(blueprint)
    assert statuses(app, ["/health"] * 5) == [200] * 5
    assert statuses(app, ["/"] * 3) == [200, 200, 429]


def test_views_limit_holds_in_an_exempt_blueprint(make_limited, resilience):
    """A view's own limit is no less a limit for its blueprint's exemption."""
    blueprint = resilience.exempt(Blueprint("health", __name__))
    blueprint.add_url_rule("/own", "own", resilience.limit("2/minute")(lambda: ""))
    app = make_limited(rate_limit="1/hour")
    app.register_blueprint(blueprint)
    assert statuses(app, ["/own"] * 3) == [200, 200, 429]


def test_exempt_blueprint_within_a_limited_one_is_free(make_limited, resilience):
    """The inner exemption frees of the outer limit, and a view's own limit holds alone."""
    outer, inner = Blueprint("outer", __name__), Blueprint("inner", __name__)
    inner.add_url_rule("/free", "free", lambda: "")
    inner.add_url_rule("/own", "own", resilience.limit("2/minute")(lambda: ""))
    resilience.exempt(inner)
    resilience.limit("1/hour")(outer)
    outer.register_blueprint(inner)
    app = make_limited(rate_limit="1/hour")
    app.register_blueprint(outer)
    assert statuses(app, ["/free"] * 3) == [200] * 3
    assert statuses(app, ["/own"] * 3) == [200, 200, 429]


@pytest.fixture
def limited_in_exempt(make_limited, resilience):
    """Return an app with a limited blueprint in an exempt one in a limited one."""
    outer, middle, inner = (Blueprint(name, __name__) for name in ("outer", "middle", "inner"))
    for blueprint in (outer, middle, inner):
        blueprint.add_url_rule(f"/{blueprint.name}", "index", lambda: "")
    resilience.limit("1/hour")(outer)
    resilience.exempt(middle)
    resilience.limit("3/minute")(inner)
    middle.register_blueprint(inner)
    outer.register_blueprint(middle)
    app = make_limited(rate_limit="2/hour")
    app.add_url_rule("/", "index", lambda: "")
    app.register_blueprint(outer)
    return app


def test_limited_blueprint_in_an_exempt_one_is_held_to_its_limit(limited_in_exempt):
    """Its own limit is the only one that holds: neither the app's does, nor that further out."""
    answer = ask(limited_in_exempt, "/inner")
    names = [name for name, _ in parse_list(answer.headers["RateLimit"])]
    assert names == ["blueprint: 3 per 1 minute"]
    assert statuses(limited_in_exempt, ["/inner"] * 3) == [200, 200, 429]


def test_limited_blueprint_in_an_exempt_one_costs_the_app_nothing(limited_in_exempt):
    """What it lets in and rejects is not counted by the app's limit."""
    exhaust(limited_in_exempt, "/inner")
    assert statuses(limited_in_exempt, ["/"] * 3) == [200, 200, 429]


def test_exempt_blueprint_stays_free_around_a_limited_one(limited_in_exempt):
    """The limit inside does not hold for the views around it."""
    assert statuses(limited_in_exempt, ["/middle"] * 5) == [200] * 5
    assert statuses(limited_in_exempt, ["/outer"] * 2) == [200, 429]


def test_static_files_are_free(make_limited, resilience):
    """Files that Flask itself serves are free of the app's limit and of their blueprint's."""
    blueprint = Blueprint("shop", __name__, static_folder=".", static_url_path="/files")
    resilience.limit("1/minute")(blueprint)
    app = make_limited(rate_limit="1/minute")
    app.register_blueprint(blueprint)
    for _ in range(3):
        with ask(app, "/files/conftest.py") as answer:
            assert answer.status_code == 200


def test_static_files_of_the_app_are_free(resilience):
    """The same of the files beside the app."""
    app = Flask("shop", static_folder=str(Path(__file__).parent), static_url_path="/files")
    app.config["RESILIENCE_RATE_LIMIT"] = "1/minute"
    resilience.init_app(app)
    for _ in range(3):
        with ask(app, "/files/conftest.py") as answer:
            assert answer.status_code == 200


def test_view_of_the_app_that_is_called_static_is_counted(resilience):
    """In an app without static files the name frees of nothing."""
    app = Flask("shop", static_folder=None)
    app.config["RESILIENCE_RATE_LIMIT"] = "1/minute"
    resilience.init_app(app)
    app.add_url_rule("/own", "static", lambda: "")
    assert statuses(app, ["/own"] * 2) == [200, 429]


def test_view_of_a_blueprint_that_is_called_static_is_counted(make_limited):
    """Nor does it in a blueprint without static files."""
    blueprint = Blueprint("shop", __name__)
    blueprint.add_url_rule("/own", "static", lambda: "")
    app = make_limited(rate_limit="1/minute")
    app.register_blueprint(blueprint)
    assert statuses(app, ["/own"] * 2) == [200, 429]


def test_limit_holds_for_a_view_that_is_called_static(make_limited, resilience):
    """A view that has a limit of its own is held to it, whatever its name."""
    blueprint = Blueprint("shop", __name__)
    blueprint.add_url_rule("/own", "static", resilience.limit("2/minute")(lambda: ""))
    app = make_limited()
    app.register_blueprint(blueprint)
    assert statuses(app, ["/own"] * 3) == [200, 200, 429]


@pytest.mark.parametrize("first", ["limit", "exempt"])
def test_blueprint_cannot_be_both(resilience, first):
    """A blueprint that is limited and exempt is refused, in either order."""
    decorators = [resilience.limit("1/minute"), resilience.exempt]
    if first == "exempt":
        decorators.reverse()
    blueprint = decorators[0](Blueprint("shop", __name__))
    with pytest.raises(ConfigurationError, match="both limited and exempt"):
        decorators[1](blueprint)


def test_exempt_view_is_free_beside_limited_ones(make_limited, resilience):
    """The view itself is returned, so that an exemption costs no call."""

    def view():
        return ""

    assert resilience.exempt(view) is view


def test_marks_are_not_copied_by_wraps(make_limited, resilience):
    """A function that only takes the looks of a limited one is not limited by it."""

    @resilience.limit("1/minute")
    def limited():
        return ""

    @wraps(limited)
    def other():
        return "other"

    app = make_limited()
    app.add_url_rule("/", "index", other)
    assert statuses(app, ["/"] * 3) == [200] * 3
