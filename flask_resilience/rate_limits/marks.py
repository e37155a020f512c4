"""Which views are limited and which are exempt, and whether Flask has registered them so.

A limited view is a wrapper around what was decorated; it asks the limits of whichever app serves.
The marks are kept beside the functions and not on them, where ``functools.wraps`` would copy them.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

from flask import Blueprint, current_app
from flask.views import View as ClassView

from ..errors import ConfigurationError
from .rule import LimitRule

View = TypeVar("View", bound=Callable[..., Any])
Target = TypeVar("Target", bound="Callable[..., Any] | Blueprint")


@dataclass(frozen=True, eq=False)
class Mark:
    """The rules of all ``@limit`` decorators right on top of one another, the innermost first.

    :param kind: What they stand on: ``view`` or ``blueprint``.
    :param name: Of that, for the counters.
    """

    kind: str
    name: str
    rules: tuple[LimitRule, ...]


class Holder(Protocol):
    """The limits of an app."""

    def hold(self, mark: Mark) -> None:
        """Count the request being served by the rules of *mark*, or reject it."""


_marks: weakref.WeakKeyDictionary[Callable[..., Any], Mark] = weakref.WeakKeyDictionary()
_of_blueprints: weakref.WeakKeyDictionary[Blueprint, list[Mark]] = weakref.WeakKeyDictionary()
_exempt: weakref.WeakSet[Any] = weakref.WeakSet()
_unused: weakref.WeakSet[type] = weakref.WeakSet()
"""Classes of views of which none was made since they were limited or exempted."""

_around: weakref.WeakKeyDictionary[Callable[..., Any], weakref.WeakSet[Any]] = (
    weakref.WeakKeyDictionary()
)
"""The limited and the exempt functions around each function."""


def limited(target: Target, rule: LimitRule, find: Callable[[], Holder]) -> Target:
    """Return *target* held to *rule*: a view, all of a class of views, or all of a blueprint.

    :param find: Gives the limits of the app that is serving.
    :raises ConfigurationError: If it is none of them, or exempt.
    """
    if isinstance(target, type) and issubclass(target, ClassView):
        _decorate(target, lambda view: limited(view, rule, find))
        return target
    _check_target("limit", target)
    if is_exempt(target):
        raise _contradiction(target)
    if isinstance(target, Blueprint):
        _limit_blueprint(target, rule, find)
        return target
    return cast("Target", _limit_view(target, rule, find))


def exempt(target: Target) -> Target:
    """Return *target* marked as free of limits: a view, a class of views, or a blueprint.

    :raises ConfigurationError: If it is none of them, or has a limit of its own.
    """
    if isinstance(target, type) and issubclass(target, ClassView):
        _decorate(target, exempt)
        return target
    _check_target("exempt", target)
    if marks_of(target):
        raise _contradiction(target)
    _exempt.add(target)
    _note_around(cast("Callable[..., Any]", target))
    return target


def marks_of(target: object) -> tuple[Mark, ...]:
    """Return the marks of a blueprint, or of a view and all that it wraps."""
    if isinstance(target, Blueprint):
        return tuple(_of_blueprints.get(target, ()))
    return tuple(_marks[one] for one in _chain(target) if one in _marks)


def method_marks(view: object) -> tuple[Mark, ...]:
    """Return the marks of the methods of a class-based view, of which each request calls one."""
    return tuple(mark for one in _methods(view) for mark in marks_of(one))


def is_exempt(*targets: object) -> bool:
    """Say whether one of *targets*, or what it wraps, is exempt."""
    return any(one in _exempt for target in targets for one in _chain(target))


def misplaced(views: Mapping[str, Callable[..., Any]]) -> tuple[str, ...]:
    """Return the names of views that Flask has registered without their limit or exemption.

    Each of them is known to be inside of a limited or exempt function that no endpoint leads to. It
    is left out if its module still knows it by its name: then no decorator took its place.

    :param views: All of an app, by endpoint.
    """
    registered = {id(one): one for view in views.values() for one in _chain(view)}
    inside = (one for one in registered.values() if one in _around and not _has_its_name(one))
    bare = [one for one in inside if not any(id(outer) in registered for outer in _around[one])]
    classes = (getattr(view, "view_class", None) for view in views.values())
    bare += [one for one in classes if one and not _unused.isdisjoint(one.__mro__)]
    return tuple(sorted({_name(one) for one in bare}))


def hidden_exemptions(views: Mapping[str, Callable[..., Any]]) -> tuple[str, ...]:
    """Return the names of exempt functions whose views are not.

    A decorator without ``functools.wraps`` hides them, or they are methods of a class of views.
    """
    plain = [view for view in views.values() if not is_exempt(view)]
    inside = (one for view in plain for one in (*_closed_over(view), *_methods(view)))
    return tuple(sorted({_name(one) for one in inside if is_exempt(one)}))


def _decorate(target: type[ClassView], decorator: Callable[[Any], Any]) -> None:
    def decorate(view: Any) -> Any:
        _unused.discard(target)
        return decorator(view)

    _unused.add(target)
    target.decorators = [*target.decorators, decorate]


def _limit_blueprint(blueprint: Blueprint, rule: LimitRule, find: Callable[[], Holder]) -> None:
    marks = _of_blueprints.setdefault(blueprint, [])
    mark = Mark("blueprint", f"{_name(blueprint)}:{len(marks)}", (rule,))
    marks.append(mark)
    blueprint.before_request(lambda: find().hold(mark))


def _limit_view(target: View, rule: LimitRule, find: Callable[[], Holder]) -> View:
    below = _marks.get(target)
    view = target if below is None else target.__wrapped__  # type: ignore[attr-defined]
    rules = (rule,) if below is None else (*below.rules, rule)
    deeper = len(marks_of(view))  # with a decorator between, which mostly has the view's name
    mark = Mark("view", f"{_name(view)}:{deeper}" if deeper else _name(view), rules)
    held = _holding(view, mark, find)
    _marks[held] = mark
    _note_around(held)
    return cast("View", held)


def _holding(view: View, mark: Mark, find: Callable[[], Holder]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(view):

        @wraps(view)
        async def held_async(*args: Any, **kwargs: Any) -> Any:
            find().hold(mark)
            return await view(*args, **kwargs)

        return held_async

    @wraps(view)
    def held(*args: Any, **kwargs: Any) -> Any:
        find().hold(mark)
        return current_app.ensure_sync(view)(*args, **kwargs)

    return held


def _note_around(outer: Callable[..., Any]) -> None:
    for one in list(_chain(outer))[1:]:
        _around.setdefault(one, weakref.WeakSet()).add(outer)


def _has_its_name(function: Any) -> bool:
    found = getattr(function, "__globals__", {}).get(getattr(function, "__name__", ""))
    return found is function


def _chain(function: Any) -> Iterator[Any]:
    """Yield *function* and, one after the other, what it wraps."""
    seen = set()
    while function is not None and id(function) not in seen:
        seen.add(id(function))
        if _may_have_marks(function):
            yield function
        function = getattr(function, "__wrapped__", None)


def _may_have_marks(target: object) -> bool:
    try:
        hash(weakref.ref(target))
    except TypeError:  # of what cannot be hashed or referred to
        return False
    return True


def _methods(view: object) -> list[Callable[..., Any]]:
    members = inspect.getmembers(getattr(view, "view_class", None), inspect.isfunction)
    return [one for _, one in members]


def _closed_over(view: Any) -> Iterator[Any]:
    for cell in getattr(view, "__closure__", None) or ():
        try:
            content = cell.cell_contents
        except ValueError:  # nothing was put into it yet
            continue
        if inspect.isfunction(content):
            yield content


def _check_target(name: str, target: object) -> None:
    odd = isinstance(target, type) or not (callable(target) or isinstance(target, Blueprint))
    if odd or not _may_have_marks(target):
        raise ConfigurationError(
            f"@{name} stands on {target!r}; it must stand on a view, on a subclass of "
            "flask.views.View or on a blueprint.",
            key=name,
        )


def _contradiction(target: object) -> ConfigurationError:
    name = _name(target)
    return ConfigurationError(
        f"{name} is both limited and exempt; keep one of the two decorators.", key=name
    )


def _name(target: object) -> str:
    if isinstance(target, Blueprint):
        return f"{target.import_name}.{target.name}"
    name = getattr(target, "__qualname__", None) or type(target).__qualname__
    return f"{getattr(target, '__module__', '')}.{name}"
