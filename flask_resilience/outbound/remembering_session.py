"""A ``requests.Session`` that does not ask the environment the same thing for every call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests
from requests import PreparedRequest, Request

from .environment import Environment


class RememberingSession(requests.Session):
    """Remember what ``requests`` reads from the environment until that changes.

    Where a test, say, has put a function of its own in the place of one of ``requests``', that is
    called each time.
    """

    def __init__(self) -> None:
        self._environment = Environment()
        super().__init__()

    def prepare_request(self, request: Request) -> PreparedRequest:
        """Prepare *request* with the session's settings, and the netrc file's name and password."""
        ask = not self.trust_env or self._is_overridden("prepare_request", "get_netrc_auth")
        if ask or (request.auth is not None and not request.auth):
            return super().prepare_request(request)
        auth = self.auth
        if not auth and request.auth is None:
            auth = self._environment.netrc_auth(request.url or "") or auth
        params = request.params if request.params or self.params else None
        headers = request.headers if request.headers or _removes(self.headers) else None
        asked: Any = _With(self, trust_env=False, auth=auth)
        what: Any = _With(request, params=params, headers=headers)
        return requests.Session.prepare_request(asked, what)

    def merge_environment_settings(
        self, url: str, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> dict[str, Any]:
        """Merge a call's settings with the session's and the environment's."""
        name = "merge_environment_settings"
        if not self.trust_env or self._is_overridden(name, "get_environ_proxies"):
            return super().merge_environment_settings(url, proxies, stream, verify, cert)
        proxies = {} if proxies is None else proxies
        for scheme, proxy in self._environment.proxies(url, proxies.get("no_proxy")).items():
            proxies.setdefault(scheme, proxy)
        if verify is True or verify is None:
            verify = self._environment.ca_bundle() or verify
        own = self.proxies if self.proxies or proxies else None
        asked: Any = _With(self, trust_env=False, proxies=own)
        return requests.Session.merge_environment_settings(
            asked, url, proxies, stream, verify, cert
        )

    def _is_overridden(self, method: str, function: str) -> bool:
        """Say whether another class, or a test, has its own way with what ``requests`` does."""
        following = getattr(super(RememberingSession, type(self)), method)
        return following is not getattr(requests.Session, method) or getattr(
            requests.sessions, function
        ) is not getattr(requests.utils, function)


class _With:
    """Stand for an object whose environment was asked already, or has nothing to be merged.

    To merge with an empty mapping changes nothing, and costs ``requests`` more than all that is
    done here; ``None`` in its place costs nothing.

    :param instead: Attributes that differ from those of *whole*.
    """

    def __init__(self, whole: object, **instead: Any) -> None:
        self.__dict__.update(vars(whole))
        self.__dict__.update(instead, _whole=whole)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)


def _removes(headers: Any) -> bool:
    """Say whether some header is not to be sent, which only merging sees to; or it is odd."""
    return not isinstance(headers, Mapping) or any(value is None for value in headers.values())
