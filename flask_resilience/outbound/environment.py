"""What ``requests`` reads from the environment for every call, remembered until it changes.

``requests`` scans all variables for proxies and looks for a netrc file each time it is called.
Here its own answers are kept, and given again only while all they were made from is as it was:
the variables, the netrc file, the functions that answer. An answer that cannot be tied to these
is asked for anew. Nothing here decides what a proxy is, or what a netrc file says.
"""

from __future__ import annotations

import os
import re
import stat
import time
import urllib.request
from collections.abc import Callable
from operator import itemgetter
from types import ModuleType
from typing import Any, TypeAlias, TypeVar

import requests.utils

Auth: TypeAlias = tuple[str, str]
Exists: TypeAlias = Callable[[str], bool]
Key = TypeVar("Key")
Answer = TypeVar("Answer")

ANSWERS_KEPT = 1_000
AT_REST = 2_000_000_000
"""How long ago a file's last change must be, in ns, so that the next one bears another time.

The coarsest file systems count in steps of 2 s.
"""

# Host and port, all of a URL that an answer depends on. A URL less plain than this is asked about
# anew, so that the rules for taking URLs apart stay where they are.
SITE = re.compile(
    r"https?://(?:[\w.~!$&'()*+,;=:%-]*@)?((?:[\w.~-]+|\[[\w:.%]+\])(?::\d*)?)(?=[/?#]|\Z)",
    re.ASCII | re.IGNORECASE,
)


def _shipped(module: ModuleType, name: str) -> object:
    """Return a function that *module* itself defines; ``None`` if another took its place."""
    function = vars(module)[name]
    return function if getattr(function, "__globals__", None) is vars(module) else None


# Only these depend on nothing but the variables. On macOS and Windows ``requests`` calls others,
# which ask the system; anywhere, a test or an app may have put its own in their place.
GETPROXIES = _shipped(urllib.request, "getproxies_environment")
PROXY_FUNCTIONS = (
    _shipped(requests.utils, "get_environ_proxies"),
    _shipped(requests.utils, "should_bypass_proxies"),
    GETPROXIES,
    _shipped(urllib.request, "proxy_bypass_environment"),
)
_proxy_functions = itemgetter(
    "get_environ_proxies", "should_bypass_proxies", "getproxies", "proxy_bypass"
)
NETRC_FUNCTIONS = (_shipped(requests.utils, "get_netrc_auth"), requests.utils.NETRC_FILES)
_netrc_functions = itemgetter("get_netrc_auth", "NETRC_FILES")
PATH_FUNCTIONS = (os.path.expanduser, os.path.exists)

CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

# Where a netrc file is: its own variable, and those that os.path.expanduser reads.
NETRC = ["NETRC", "HOME"]
if os.name == "nt":
    NETRC = ["NETRC", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "USERNAME"]
_effective_user: Callable[[], int] = getattr(os, "geteuid", int)


class Environment:
    """The answers of ``requests`` about the environment, as they would be now.

    Threads may share one: what is remembered is replaced as a whole, and no lock is held. What
    another thread sets and puts back while a question is being answered goes unseen, and so does
    a home that is moved in the user database.
    """

    def __init__(self) -> None:
        self._proxies: _ProxyAnswers | None = None
        self._netrc: _NetrcAnswers | None = None

    def proxies(self, url: str, no_proxy: str | None = None) -> dict[str, str]:
        """Return what ``requests.utils.get_environ_proxies`` would, as a dict of the caller's own.

        :param no_proxy: Hosts to reach directly, instead of those of the variable.
        """
        site = _site(url)
        if site is None:
            return requests.utils.get_environ_proxies(url, no_proxy=no_proxy)
        answers = self._proxies
        if answers is None or not answers.hold():
            answers = self._proxies = _ProxyAnswers()
        key = (site, no_proxy)
        proxies = answers.by_site.get(key)
        if proxies is None:
            proxies = requests.utils.get_environ_proxies(url, no_proxy=no_proxy)
            if answers.hold():
                _remember(answers.by_site, key, proxies)
        return proxies.copy()

    def netrc_auth(self, url: str | bytes) -> Auth | None:
        """Return the name and password that ``requests.utils.get_netrc_auth`` would."""
        answers = self._netrc
        if answers is None or not answers.hold():
            answers = self._netrc = _NetrcAnswers()
        # Where there is no file, all URLs are alike.
        site = "" if answers.file is None and isinstance(url, str) else _site(url)
        if site is None:
            return requests.utils.get_netrc_auth(url)
        known = answers.by_site.get(site)
        if known is None:
            known = (requests.utils.get_netrc_auth(url),)
            if answers.hold():
                _remember(answers.by_site, site, known)
        return known[0]

    @staticmethod
    def ca_bundle() -> str | None:
        """Return the path of the certificates that a call trusts where nothing else is said.

        It is looked up each time, which costs less than comparing all variables.
        """
        variables, encode = _variables(), getattr(os.environ, "encodekey", str)
        if variables is not None and variables.keys().isdisjoint(map(encode, CA_BUNDLES)):
            return None  # found without the cost of raising
        return next(filter(None, map(os.environ.get, CA_BUNDLES)), None)


class _ProxyAnswers:
    """What was answered about proxies while the variables were as they are now."""

    def __init__(self) -> None:
        self.by_site: dict[tuple[str, str | None], dict[str, str]] = {}
        self.variables = _variables()
        if self.variables is not None:
            self.names, self.values = list(self.variables), list(self.variables.values())

    def hold(self) -> bool:
        """Say whether the answers are those of this moment.

        Equal dicts may differ in order, and of two names that differ in case the last one counts.
        """
        variables = self.variables
        return (
            variables is not None
            and variables is _variables()
            and list(variables) == self.names
            and list(variables.values()) == self.values
            and _proxy_functions(vars(requests.utils)) == PROXY_FUNCTIONS
            and urllib.request.getproxies_environment is GETPROXIES
        )


class _NetrcAnswers:
    """What was answered about the netrc file while it was as it is now."""

    def __init__(self) -> None:
        self.by_site: dict[str, tuple[Auth | None]] = {}
        self.variables = _variables()
        self.names = list(map(getattr(os.environ, "encodekey", str), NETRC))
        self.values = list(map((self.variables or {}).get, self.names))
        self.user = _effective_user()
        self.paths = _netrc_paths()
        self.exists = _existence_test()
        self.file = _file_at(self.paths, self.exists)
        self.lasting = self.file is None or _at_rest(self.file)

    def hold(self) -> bool:
        """Say whether the answers are those of this moment."""
        variables = self.variables
        return (
            self.lasting
            and variables is not None
            and variables is _variables()
            and list(map(variables.get, self.names)) == self.values
            and _effective_user() == self.user
            and _file_at(self.paths, self.exists) == self.file
            and _netrc_functions(vars(requests.utils)) == NETRC_FUNCTIONS
            and (os.path.expanduser, os.path.exists) == PATH_FUNCTIONS
        )


def _remember(answers: dict[Key, Answer], key: Key, answer: Answer) -> None:
    if len(answers) >= ANSWERS_KEPT:
        answers.clear()
    answers[key] = answer


def _site(url: str | bytes) -> str | None:
    match = SITE.match(url) if isinstance(url, str) else None
    return None if match is None else match[1]


def _variables() -> dict[Any, Any] | None:
    """Return the dict that holds the variables; ``None`` if something else does."""
    environ: object = os.environ
    if type(environ) is os._Environ:  # noqa: SLF001  # reading it decodes each variable
        environ = getattr(environ, "_data", None)
    return environ if type(environ) is dict else None


def _netrc_paths() -> list[str]:
    named = os.environ.get("NETRC")
    files = [f"~/{name}" for name in requests.utils.NETRC_FILES] if named is None else [named]
    return [os.path.expanduser(file) for file in files]


def _reaches(path: str) -> bool:
    """Find what ``os.stat`` finds, in half the time where there is nothing: this does not raise."""
    return os.access(path, os.F_OK, effective_ids=True)


def _existence_test() -> Exists:
    """Return the fastest test that is right here: a sandbox may forbid the system call."""
    works = os.access in os.supports_effective_ids and _reaches(os.sep)
    return _reaches if works else os.path.exists


def _file_at(paths: list[str], exists: Exists) -> tuple[int, ...] | None:
    """Return what changes with the first file that there is; nothing if it cannot be said."""
    try:
        for path in paths:
            if exists(path):
                now = os.stat(path)
                changed = (now.st_mtime_ns, now.st_ctime_ns)
                return (*changed, now.st_size, now.st_ino, now.st_dev, now.st_mode)
    except (OSError, ValueError):
        return ()
    return None


def _at_rest(file: tuple[int, ...]) -> bool:
    """Say whether any change from now on will show; pipes and devices change unseen."""
    return (
        bool(file) and stat.S_ISREG(file[-1]) and time.time_ns() - max(file[0], file[1]) > AT_REST
    )
