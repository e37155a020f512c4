"""What can be wrong with an app's limits without an error of its own, told once.

Each of these silently means something else than what somebody wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING

from flask import Flask

from ..errors import ConfigurationError
from ..events import ConfigSuspicious, OnEvent
from .marks import hidden_exemptions, marks_of, misplaced

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PROXY_FIX = "werkzeug.proxy_fix.orig"
"""Where Werkzeug's middleware leaves word that it has set the address."""


class Checks:
    """Look at an app by its requests, and tell of each thing once.

    :param shared: Says whether other processes count with this one.
    :param proxies: How many proxies are trusted.
    :param on_event: Told of :class:`~flask_resilience.events.ConfigSuspicious`.
    """

    def __init__(
        self, app: Flask, shared: Callable[[], bool], proxies: int, on_event: OnEvent
    ) -> None:
        self._app, self._shared, self._on_event = app, shared, on_event
        self._looked, self._looks_for_proxies = False, not proxies

    def look(self, environ: WSGIEnvironment) -> None:
        """Look at the app at its first request, and at each until one came by way of a proxy.

        :raises ConfigurationError: If a limit stands where it cannot hold, at every request.
        """
        if not self._looked:
            check_views(self._app)
            self._looked = True
            for one in _suspicions(self._app, environ, self._shared()):
                self._on_event(one)
        if self._looks_for_proxies and _came_by_proxy(environ):
            self._looks_for_proxies = False
            self._on_event(BY_PROXY)


def check_views(app: Flask) -> None:
    """Make sure that each limit and exemption holds for the view it was written on.

    :raises ConfigurationError: If Flask has registered a view without it.
    """
    for function in _error_handlers(app):
        if marks_of(function):
            raise ConfigurationError(
                f"@limit stands on {function!r}, which handles errors; a rejection there would be "
                "a 500. Put it on a view.",
                key="limit",
            )
    names = misplaced(app.view_functions)
    if names:
        raise ConfigurationError(
            f"{', '.join(names)}: the view is registered without its limit or exemption, which "
            "stands above @app.route, or on a class after as_view(); put @resilience.limit and "
            "@resilience.exempt under it, and on a class before. To serve a function without its "
            "limit, register another one that calls it.",
            key=names[0],
        )


def _error_handlers(app: Flask) -> Iterator[Callable[..., object]]:
    for by_code in app.error_handler_spec.values():
        for by_class in by_code.values():
            yield from by_class.values()


def _suspicions(app: Flask, environ: WSGIEnvironment, shared: bool) -> Iterator[ConfigSuspicious]:
    """Yield what is allowed and yet hardly what somebody wants."""
    for name in hidden_exemptions(app.view_functions):
        yield ConfigSuspicious(
            check="exemption_hidden",
            hint=f"{name} is exempt and its view is not; use functools.wraps in the decorator that "
            "hides it, or put @resilience.exempt above that; of a class, exempt all or nothing.",
        )
    if environ.get("wsgi.multiprocess") and not shared:
        yield ConfigSuspicious(
            check="memory_storage_with_several_processes",
            hint="RESILIENCE_STORAGE_URL is memory:// and the server runs several processes, each "
            "of which counts limits and keeps circuits for itself; leave it unset to share a file.",
        )


BY_PROXY = ConfigSuspicious(
    check="forwarded_without_trusted_proxies",
    hint="Requests come by way of a proxy and RESILIENCE_TRUSTED_PROXIES is 0, so all clients are "
    "limited together, as the proxy; set it to how many proxies there are.",
)


def _came_by_proxy(environ: WSGIEnvironment) -> bool:
    """Say whether a neighbour asks for somebody else; a stranger may claim what it likes."""
    if "HTTP_X_FORWARDED_FOR" not in environ and "HTTP_FORWARDED" not in environ:
        return False
    if PROXY_FIX in environ:
        return False
    try:
        return ip_address(environ.get("REMOTE_ADDR", "")).is_private
    except ValueError:
        return True
