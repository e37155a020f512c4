"""With nothing failing the session is a plain one: same requests, same answers, same errors.

But for the ``traceparent`` of each attempt, which is left out before anything is compared, and the
copy of the request that it is set in.
"""

from __future__ import annotations

import copy
import gc
import io
import pickle
import re
import warnings
from contextlib import ExitStack
from datetime import timedelta

import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter

from flask_resilience import CircuitBreakerPolicy, ResilientSession, RetryPolicy
from tests.outbound.sockets import CERTIFICATE, ForwardProxy, Site, server_context

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
CHANGING = [
    (re.compile(r"(cnonce|response)=\"[0-9a-f]+\""), r'\1="…"'),
    (re.compile(r" at 0x[0-9a-f]+"), " at …"),
]
OF_ANSWERS = (
    *("status_code", "reason", "url", "encoding", "apparent_encoding", "ok", "is_redirect"),
    *("is_permanent_redirect", "links", "text", "content", "request"),
)
PLACES = ("HOME", "OTHER", "PROXY")


def with_policies():
    """Return a session as it is by default."""
    return ResilientSession()


def without_policies():
    """Return a session with retries and circuit off."""
    return ResilientSession(
        retry=RetryPolicy(attempts=1), breaker=CircuitBreakerPolicy(mode="disabled")
    )


both = pytest.mark.parametrize(
    "make",
    [pytest.param(with_policies, id="by default"), pytest.param(without_policies, id="all off")],
)


class World:
    """A site, another one and a proxy, with all that was asked of them.

    :param context: What both sites serve TLS with, if they do.
    """

    def __init__(self, context=None):
        self.sites = Site(context), Site(context), ForwardProxy()
        self.home, self.other, self.proxy = (one.url for one in self.sites)

    def __enter__(self):
        self._stack = ExitStack()
        for one in self.sites:
            self._stack.enter_context(one)
        return self

    def __exit__(self, *exception):
        self._stack.close()

    def forget(self):
        """Begin anew, as if nothing had been asked."""
        home, other, proxy = self.sites
        for site in (home, other):
            site.asked, site.connections = [], 0
        proxy.lines, proxy.authorizations = [], []

    def facts(self, result):
        """Return what happened: what was asked of whom, and what came of it."""
        home, other, proxy = self.sites
        return self._settled(
            {
                "result": told(result),
                "asked": [told_asked(one) for site in (home, other) for one in site.asked],
                "connections": [home.connections, other.connections],
                "proxied": [proxy.lines, proxy.authorizations],
            }
        )

    def _settled(self, value):
        """Return *value* without what differs from one run to the next."""
        if isinstance(value, dict):
            return {key: self._settled(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._settled(one) for one in value]
        text = repr(value)
        for site, name in zip(self.sites, PLACES, strict=True):
            text = text.replace(str(site.server_port), name)
        for pattern, replacement in CHANGING:
            text = pattern.sub(replacement, text)
        return text


def without_trace(headers):
    """Return pairs of names and values without the header that our attempts add."""
    return [pair for pair in headers if pair[0] != "traceparent"]


def told(value):
    """Return what can be compared of *value*."""
    for kind, facts in FACTS.items():
        if isinstance(value, kind):
            return facts(value)
    return value


def told_asked(asked):
    """Return what stood on the wire."""
    return [asked.line, told(without_trace(asked.headers)), asked.body]


def told_response(response):
    """Return all that can be asked of an answer."""
    facts = {name: told(getattr(response, name)) for name in OF_ANSWERS}
    raw = None if isinstance(response.raw, io.BytesIO) else response.raw
    return {
        **facts,
        "class": type(response),
        "next": told(getattr(response, "_next", None)),  # a pickle leaves it behind
        "history": [[one.url, one.status_code, len(one.history)] for one in response.history],
        "repr": repr(response),
        "bool": bool(response),
        "headers": list(response.headers.items()),
        "cookies": told(response.cookies),
        "elapsed": response.elapsed > timedelta(0),
        "raw": raw and [raw.status, raw.version, raw.reason, raw.closed, raw.headers.items()],
        "rest": raw and raw.read(),
    }


def told_request(request):
    """Return what a prepared request says."""
    body = request.body if isinstance(request.body, (bytes, str)) else type(request.body)
    headers = request.headers and without_trace(request.headers.items())
    return {"line": [request.method, request.url], "headers": headers, "body": body}


def told_error(error):
    """Return what an exception says."""
    asked, answer = getattr(error, "request", None), getattr(error, "response", None)
    return {"raised": type(error), "args": str(error), "of": told(asked), "by": told(answer)}


FACTS = {
    requests.Response: told_response,
    requests.PreparedRequest: told_request,
    Exception: told_error,
    requests.cookies.RequestsCookieJar: lambda jar: sorted(
        [one.name, one.value, one.path, one.domain] for one in jar
    ),
    dict: lambda facts: {key: told(one) for key, one in facts.items()},
    (list, tuple): lambda many: [told(one) for one in many],
}


def played(world, make_session, scenario):
    """Return what comes of *scenario* with a new session."""
    world.forget()
    with make_session() as session:
        try:
            result = scenario(session, world)
        except Exception as error:
            result = error
        return world.facts([result, session.cookies, session.headers])


def assert_same(world, make, scenario):
    """Hold what comes of a session of ours to what comes of a plain one."""
    assert played(world, make, scenario) == played(world, requests.Session, scenario)


def started(context=None):
    """Return a fixture that starts a world for all tests of this module."""

    @pytest.fixture(scope="module")
    def world():
        with World(context) as made:
            yield made

    return world


world = started()
secure_world = started(server_context())
strict_world = started(server_context(asks_for_certificate=True))


@pytest.fixture(scope="module", autouse=True)
def _collected():
    """Collect what the tests let go: requests leaves such sockets to the collector, which warns."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch, tmp_path):
    """Keep proxies, passwords and certificates of the machine out."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr("urllib3.filepost.choose_boundary", lambda: "boundary")


def verb(name, path="/echo", **arguments):
    """Return a scenario of one call."""
    return lambda session, world: session.request(name, world.home + path, **arguments)


def after(prepare, scenario):
    """Return *scenario* with a session that something is done to before."""

    def prepared(session, world):
        prepare(session)
        return scenario(session, world)

    return prepared


def table(scenarios):
    """Return a parametrization by names."""
    return pytest.mark.parametrize(
        "scenario", [pytest.param(one, id=name) for name, one in scenarios.items()]
    )


def digest():
    """Return a user and a password for digest authentication."""
    return requests.auth.HTTPDigestAuth("user", "password")


def a_hook(response, **kwargs):
    """Note what a hook was called with."""
    response.headers["X-Hook"] = repr(sorted(kwargs))


def another_answer(response, **_):
    """Put another answer in the place of the one that came."""
    other = requests.Response()
    other.status_code, other._content, other.url = 299, b"another", response.url  # noqa: SLF001
    other.request, other.raw = response.request, io.BytesIO(b"")
    other.elapsed = response.elapsed
    return other


def raw_as_it_comes(response, **_):
    """Read the body in the hook, past the response."""
    response.headers["X-Raw"] = response.raw.read(3).decode()


class Signed(requests.auth.AuthBase):
    """Signs the body, and looks at the answer."""

    def __call__(self, request):
        """Sign *request*."""
        request.headers["X-Signature"] = str(len(request.body or b""))
        request.register_hook("response", a_hook)
        return request


class Text:
    """An address that is no text, as those of other libraries are."""

    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text


class Quoting(HTTPAdapter):
    """An adapter of the user's."""

    def add_headers(self, request, **kwargs):
        """Tell what was given."""
        request.headers["X-Adapter"] = repr(sorted(kwargs))


ARGUMENTS = {
    "nothing": verb("GET"),
    "small letters": verb("get"),
    "method of bytes": verb(b"GET"),
    "method of one's own": verb("PATCH"),
    "params of a dictionary": verb("GET", params={"a": [1, 2], "b": None, "ö": "ß &="}),
    "params of pairs": verb("GET", "/echo?z=0", params=[("a", 1), ("a", 2)]),
    "params of text": verb("GET", params="a=1&b"),
    "params of bytes": verb("GET", params=b"a=1"),
    "fragment": verb("GET", "/echo#part"),
    "path to be quoted": verb("GET", "/ä b/%7e/../x?q=ö|"),
    "data of a dictionary": verb("POST", data={"a": [1, 2], "ö": "ß"}),
    "data of pairs": verb("POST", data=[("a", "1"), ("a", "2")]),
    "data of bytes": verb("POST", data=b"\x00\xff"),
    "data of text": verb("POST", data="zoë"),
    "data of nothing": verb("POST"),
    "data of empty text": verb("PUT", data=""),
    "data of a file": lambda s, w: s.put(w.home, data=io.BytesIO(b"x" * 70_000)),
    "data of a file halfway": lambda s, w: s.put(w.home, data=halfway()),
    "data of a generator": lambda s, w: s.put(w.home, data=(one for one in [b"a", b"b"])),
    "data and params": verb("DELETE", data={"a": 1}, params={"b": 2}),
    "json": verb("POST", json={"a": [1, None, "ß"]}),
    "json of a list": verb("PATCH", json=[]),
    "json that is none": verb("POST", json={"a": float("nan")}),
    "json and data": verb("POST", json={"a": 1}, data={"b": 2}),
    "files": verb("POST", files={"f": ("a.txt", b"text", "text/plain", {"X-A": "1"})}),
    "files and data": verb("POST", files=[("f", b"1"), ("f", b"2")], data={"a": "1"}),
    "file that is open": lambda s, w: s.post(w.home, files={"f": io.BytesIO(b"text")}),
    "headers": verb("GET", headers={"X-A": "1", "accept": "text/plain", "User-Agent": None}),
    "headers of bytes": verb("GET", headers={b"X-A": b"1"}),
    "header of a number": verb("GET", headers={"X-A": 1}),
    "host header": verb("GET", headers={"Host": "elsewhere.invalid"}),
    "length by hand": verb("POST", data=b"ab", headers={"Content-Length": "2"}),
    "connection that is closed": verb("GET", headers={"Connection": "close"}),
    "cookies of the call": verb("GET", cookies={"a": "1", "b": "2"}),
    "cookie header": verb("GET", headers={"Cookie": "a=1"}, cookies={"b": "2"}),
    "basic auth": verb("GET", "/basic", auth=("user", "pässword")),
    "custom auth": verb("POST", data=b"abc", auth=Signed()),
    "auth in the URL": lambda s, w: s.get(w.home.replace("://", "://user:p%40ss@") + "/basic"),
    "auth in the URL and by argument": lambda s, w: s.get(
        w.home.replace("://", "://user:p%40ss@") + "/basic", auth=("other", "one")
    ),
    "digest": lambda s, w: [s.get(w.home + "/digest", auth=one) for one in [digest()] * 2],
    "digest with a body": lambda s, w: s.post(w.home + "/digest", data=halfway(), auth=digest()),
    "hook": verb("GET", hooks={"response": a_hook}),
    "hooks in a list": verb("GET", hooks={"response": [a_hook, another_answer, a_hook]}),
    "hook that replaces the answer": verb("GET", hooks={"response": another_answer}),
    "hook that reads past the response": verb(
        "GET", "/lines", stream=True, hooks={"response": raw_as_it_comes}
    ),
    "hook that raises": verb("GET", hooks={"response": lambda response, **_: 1 / 0}),
    "hook on redirects": verb("GET", "/times/2", hooks={"response": a_hook}),
    "URL of bytes": lambda s, w: s.get(w.home.encode() + b"/echo"),
    "URL of another type": lambda s, w: s.get(Text(w.home + "/echo")),
    "URL with spaces before it": lambda s, w: s.get("  " + w.home + "/echo"),
    "URL in capitals": lambda s, w: s.get(w.home.replace("http", "HTTP") + "/echo"),
    "URL of nothing": lambda s, w: s.get(None),
    "positional params": lambda s, w: s.get(w.home, params=None),
    "positional data and json": lambda s, w: s.post(w.home, {"a": 1}, None),
    "positional put": lambda s, w: s.put(w.home, b"body"),
    "positional request": lambda s, w: s.request("GET", w.home, {"a": 1}, None, {"X-A": "1"}),
    "all positional": lambda s, w: s.request(
        *("POST", w.home + "/status/302", {"a": 1}, b"data", {"X-A": "1"}, {"c": "1"}, None),
        *(("user", "password"), 5, False, {}, {"response": a_hook}, True, False, None, None),
    ),
    "too many arguments": lambda s, w: s.get(w.home, {}, {}),
    "unknown argument": verb("GET", colour="red"),
    "unknown method": verb("BREW"),
    "head": verb("HEAD"),
    "options": lambda s, w: s.options(w.home + "/times/1"),
}
ARGUMENTS |= {
    f"timeout of {timeout!r}": verb("GET", timeout=timeout)
    for timeout in (None, 5, 5.5, (3, 5), (None, 5), (3, None), (None, None))
}
ARGUMENTS["timeout of urllib3"] = verb("GET", timeout=urllib3.Timeout(connect=3, read=5))
ANSWERS = {
    name: verb("GET", f"/{name.replace(' ', '-')}")
    for name in (
        *("gzip", "latin", "untyped", "lines", "links", "no content", "not modified"),
        *("missing", "teapot", "chunked/", "until/end", "late/50"),
    )
}
REDIRECTS = {
    f"{status} after {name}": verb(name, f"/status/{status}", data=b"body" * (name != "GET"))
    for status in (301, 302, 303, 307, 308)
    for name in ("GET", "POST", "PUT")
}
REDIRECTS |= {
    "HEAD follows none": lambda s, w: s.head(w.home + "/status/302"),
    "HEAD that follows": lambda s, w: s.head(w.home + "/status/303", allow_redirects=True),
    "not followed": verb("GET", "/status/302", allow_redirects=False),
    "many": verb("GET", "/times/5"),
    "too many": verb("GET", "/times/99"),
    "more than the session follows": after(
        lambda s: setattr(s, "max_redirects", 2), verb("GET", "/times/3")
    ),
    "none followed": after(lambda s: setattr(s, "max_redirects", 0), verb("GET", "/times/1")),
    "to another host": lambda s, w: s.get(
        f"{w.home}/status/307?{w.other}/echo",
        auth=("user", "password"),
        headers={"X-A": "1"},
        cookies={"a": "1"},
    ),
    "without a scheme": lambda s, w: s.get(f"{w.home}/status/302?{w.other.removeprefix('http:')}/"),
    "fragment is kept": verb("GET", "/status/302#part"),
    "fragment of its own": verb("GET", "/status/302?/echo#new"),
    "to nowhere": verb("GET", "/redirect-to-nowhere"),
    "to another scheme": verb("GET", "/redirect-to-another-scheme"),
    "without location": verb("GET", "/redirect-without-location"),
    "body that does not decode": verb("GET", "/redirect-within-gzip"),
    "body that is cut off": verb("GET", "/cut/302"),
    "file is sent again": lambda s, w: s.put(w.home + "/status/307", data=halfway()),
    "generator is not": lambda s, w: s.put(w.home + "/status/307", data=iter([b"a"])),
    "streamed": lambda s, w: s.get(w.home + "/times/2", stream=True).content,
    "followed by hand": lambda s, w: list(
        s.resolve_redirects(*answer_and_request(s.get(w.home + "/times/2", allow_redirects=False)))
    ),
    "next one sent by hand": lambda s, w: s.send(
        s.get(w.home + "/times/1", allow_redirects=False).next
    ),
    "cookies on the way": verb("GET", "/set-cookies", cookies={"c": "3"}),
}


def halfway():
    """Return a file that was read in part."""
    body = io.BytesIO(b"skipped" + b"x" * 100)
    body.seek(7)
    return body


def answer_and_request(response):
    """Return both."""
    return response, response.request


@both
@table(ARGUMENTS)
def test_arguments(world, make, scenario):
    """Whatever a call is given, the same is sent and the same comes back."""
    assert_same(world, make, scenario)


@both
@table(ANSWERS)
def test_answers(world, make, scenario):
    """Whatever the site answers, the same comes back."""
    assert_same(world, make, scenario)


@both
@table(REDIRECTS)
def test_redirects(world, make, scenario):
    """Whatever a redirect does, it does it here."""
    assert_same(world, make, scenario)


def several(*paths):
    """Return a scenario of calls one after the other."""
    return lambda session, world: [session.get(world.home + path) for path in paths]


def set_on_session(session):
    """Set all that a session may bring to a call."""
    session.headers.update({"X-S": "1", "X-Gone": "1", "Accept": None})
    session.params = {"s": "1", "gone": "1"}
    session.hooks["response"].append(a_hook)
    session.cookies.set("s", "1")
    session.auth = ("session", "password")


SESSIONS = {
    "cookies are kept": several("/set-cookies", "/deep/echo", "/echo"),
    "cookies are forgotten": several("/set-cookies", "/forget-cookie", "/echo"),
    "cookies of a call are not kept": lambda s, w: [
        s.get(w.home, cookies={"a": "1"}),
        s.get(w.home),
    ],
    "cookies of a dictionary": after(
        lambda s: setattr(s, "cookies", requests.cookies.cookiejar_from_dict({"a": "1"})),
        several("/echo"),
    ),
    "all at once": after(set_on_session, several("/echo")),
    "all at once and overridden": after(
        set_on_session,
        verb(
            "GET",
            params={"gone": None, "c": "2"},
            headers={"X-Gone": None, "X-C": "2"},
            cookies={"c": "2"},
            auth=Signed(),
            hooks={"response": another_answer},
        ),
    ),
    "connections are kept": several("/echo", "/gzip", "/missing", "/chunked/", "/echo"),
    "connections are closed": several("/until/", "/echo"),
    "session that is closed works on": lambda s, w: [s.close(), s.get(w.home)],
    "mounted by a prefix": after(
        lambda s: s.mount("http://127", Quoting()), several("/echo", "/times/1")
    ),
    "mounted for a scheme": lambda s, w: [
        s.mount("own+http://", own_scheme(w)),
        s.get("own+http://Any/path?q"),
    ],
    "mounted for a host that is none": lambda s, w: [
        s.mount("own+http://", own_scheme(w)),
        s.get("own+http://name:and:more/path"),
    ],
    "mounted for no host": lambda s, w: [
        s.mount("own:", own_scheme(w)),
        s.get("own:any:path"),
    ],
    "copied session": lambda s, w: copy.copy(s).get(w.home),
    "pickled session": lambda s, w: pickled(after(set_aside, lambda t, _: t)(s, w)).get(w.home),
    "pickled response": lambda s, w: pickled(s.get(w.home + "/set-cookies")),
    "prepared": lambda s, w: s.send(requests.Request("POST", w.home, json={"a": 1}).prepare()),
    "prepared by the session": lambda s, w: s.send(
        s.prepare_request(requests.Request("PUT", w.home, data=b"a", params={"b": 1}))
    ),
    "prepared and copied": lambda s, w: s.send(
        s.prepare_request(requests.Request("PUT", w.home, data=b"a")).copy()
    ),
    "prepared and followed": lambda s, w: s.send(
        s.prepare_request(requests.Request("GET", w.home + "/times/1")), allow_redirects=True
    ),
    "prepared and not followed": lambda s, w: s.send(
        s.prepare_request(requests.Request("GET", w.home + "/times/1")), allow_redirects=False
    ),
    "sent but not prepared": lambda s, w: s.send(requests.Request("GET", w.home)),
    "context manager": lambda s, w: s.__enter__() is s and s.get(w.home),
    "prepared one stays as it is": lambda s, w: is_left_alone(
        s, s.prepare_request(requests.Request("GET", w.home))
    ),
    "what a session is made of": lambda s, w: {
        name: told(getattr(s, name)) for name in s.__attrs__ if name != "adapters"
    },
    "adapters": lambda s, w: {
        n: isinstance(a, requests.adapters.HTTPAdapter) for n, a in s.adapters.items()
    },
    "generator of an answer": lambda s, w: b"".join(s.get(w.home + "/lines")),
    "raised for its status": lambda s, w: s.get(w.home + "/missing").raise_for_status(),
    "answer as a context": lambda s, w: s.get(w.home).__enter__(),
}


def own_scheme(world):
    """Return an adapter that answers under a scheme of its own by calling the site."""

    class Own(HTTPAdapter):
        def send(self, request, **kwargs):
            """Send it to the site."""
            real = request.copy()
            real.headers["X-Url"] = request.url
            real.url = world.home + "/echo"
            return super().send(real, **kwargs)

    return Own()


def set_aside(session):
    """Set what survives pickling."""
    session.headers["X-S"] = "1"
    session.params = {"s": "1"}
    session.cookies.set("s", "1")
    session.max_redirects = 3


def pickled(value):
    """Return what comes back from a pickle."""
    return pickle.loads(pickle.dumps(value))


def is_left_alone(session, prepared):
    """Say whether a request is afterwards what it was before."""
    before = dict(prepared.headers)
    session.send(prepared)
    return prepared.headers == before


@both
@table(SESSIONS)
def test_sessions(world, make, scenario):
    """What a session keeps, brings along and is, a plain one keeps, brings along and is."""
    assert_same(world, make, scenario)


def proxied(path="/echo", **arguments):
    """Return a scenario of a call through a proxy."""
    return lambda s, w: s.get(w.home + path, proxies={"http": w.proxy}, **arguments)


def refused_by_proxy(session, world):
    """Call through a proxy that is not there, and return the exception's class."""
    with pytest.raises(requests.ConnectionError) as raised:
        session.get(world.home, proxies={"http": "http://127.0.0.1:9"})
    return type(raised.value)


PROXIES = {
    "by argument": proxied(),
    "by argument on a redirect": proxied("/times/1"),
    "by session": lambda s, w: [s.proxies.update(http=w.proxy), s.get(w.home)],
    "for one host": lambda s, w: s.get(w.home, proxies={"http://127.0.0.1": w.proxy}),
    "for all": lambda s, w: s.post(w.home, data=b"abc", proxies={"all": w.proxy}),
    "with a password": lambda s, w: s.get(
        w.home, proxies={"http": w.proxy.replace("://", "://user:password@")}
    ),
    "kept connections": lambda s, w: [s.get(w.home, proxies={"http": w.proxy}) for _ in "ab"],
    "not by argument": lambda s, w: s.get(
        w.home, proxies={"http": w.proxy, "no_proxy": "127.0.0.1"}
    ),
    "not an address": lambda s, w: s.get(w.home, proxies={"http": "http://"}),
    "that refuses": refused_by_proxy,
}


@table(PROXIES)
def test_proxies(world, scenario):
    """A call goes through the proxy that a plain session would take."""
    assert_same(world, lambda: ResilientSession(retry=RetryPolicy(attempts=1)), scenario)


ENVIRONMENTS = {
    "proxy": {"http_proxy": "PROXY"},
    "proxy in capitals": {"HTTP_PROXY": "PROXY", "ALL_PROXY": "PROXY"},
    "proxy for all": {"all_proxy": "PROXY"},
    "no proxy for this host": {"http_proxy": "PROXY", "no_proxy": "127.0.0.1"},
    "no proxy for this network": {"http_proxy": "PROXY", "NO_PROXY": "127.0.0.0/8"},
    "no proxy for another host": {"http_proxy": "PROXY", "no_proxy": "example.invalid"},
}


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "not trusted"])
@pytest.mark.parametrize(
    "environment", [pytest.param(one, id=name) for name, one in ENVIRONMENTS.items()]
)
def test_environment(world, monkeypatch, environment, trusted):
    """Proxies of the environment are taken or left as a plain session does."""

    def scenario(session, world):
        session.trust_env = trusted
        for name, value in environment.items():
            monkeypatch.setenv(name, value.replace("PROXY", world.proxy))
        return session.get(world.home + "/times/1")

    assert_same(world, with_policies, scenario)


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "not trusted"])
def test_netrc(world, tmp_path, trusted):
    """Passwords come from the file that NETRC names, unless the environment is not trusted."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")

    def scenario(session, world):
        session.trust_env = trusted
        return [session.get(world.home + "/basic"), session.get(world.home, auth=("a", "b"))]

    assert_same(world, with_policies, scenario)


def secure(path="/echo", **arguments):
    """Return a scenario of a call over TLS; what is warned of is part of it."""

    def scenario(session, world):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", urllib3.exceptions.InsecureRequestWarning)
            answer = session.get(world.home + path, **arguments)
        return [answer, [str(one.message) for one in caught]]

    return scenario


def set_verify(value):
    """Return what sets how a session verifies."""
    return lambda session: setattr(session, "verify", value)


OWN = str(CERTIFICATE)
SECURE = {
    "not verified": secure(verify=False),
    "not verified by the session": after(set_verify(False), secure()),
    "verified by a file": secure(verify=OWN),
    "verified by the session": after(set_verify(OWN), secure("/times/1")),
    "call before session": after(set_verify(False), secure(verify=OWN)),
    "certificate of the client": secure(verify=OWN, cert=OWN),
    "certificate and key of the client": secure(verify=OWN, cert=(OWN, OWN)),
    "certificate of the session": after(lambda s: setattr(s, "cert", OWN), secure(verify=OWN)),
    "through a tunnel": lambda s, w: s.get(w.home, proxies={"https": w.proxy}, verify=OWN),
    "no such certificate": secure(verify=OWN, cert="/no/such/file.pem"),
    "no such authority": secure(verify="/no/such/file.pem"),
}


@table(SECURE)
def test_secure(secure_world, scenario):
    """Certificates are verified as by a plain session."""
    assert_same(secure_world, without_policies, scenario)


@table({name: one for name, one in SECURE.items() if "certificate" in name})
def test_certificate_of_the_client(strict_world, scenario):
    """A server that asks for a certificate is shown the one that a plain session shows."""
    assert_same(strict_world, without_policies, scenario)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_authorities_of_the_environment(secure_world, monkeypatch, name):
    """A bundle of authorities in the environment is used."""
    monkeypatch.setenv(name, OWN)
    assert_same(secure_world, with_policies, secure())


READERS = {
    "content": lambda r: r.content,
    "text": lambda r: r.text,
    "iter_content": lambda r: list(r.iter_content(4)),
    "iter_content as it comes": lambda r: b"".join(r.iter_content(None)),
    "iter_content decoded": lambda r: "".join(r.iter_content(4, decode_unicode=True)),
    "iter_content of a wrong size": lambda r: r.iter_content("4"),
    "iter_content twice": lambda r: [list(r.iter_content(4)), list(r.iter_content(2))],
    "iter_content, then content": lambda r: [next(r.iter_content(4)), r.content],
    "content, then iter_content": lambda r: [r.content, list(r.iter_content(4))],
    "iter_lines": lambda r: list(r.iter_lines()),
    "iter_lines of small chunks": lambda r: list(r.iter_lines(2, delimiter=b"t")),
    "iteration": list,
    "raw.read": lambda r: [r.raw.read(), r.raw.read(), r.raw.closed],
    "raw.read in parts": lambda r: [r.raw.read(4), r.raw.tell(), r.raw.read(99), r.raw.read(1)],
    "raw.read by keywords": lambda r: r.raw.read(amt=4, decode_content=True, cache_content=False),
    "raw.read1": lambda r: [r.raw.read1(4), b"".join(iter(r.raw.read1, b""))],
    "raw.readinto": lambda r: [r.raw.readinto(bytearray(4)), r.raw.read()],
    "raw.readline": lambda r: [r.raw.readline(), r.raw.readlines()],
    "raw.stream": lambda r: b"".join(r.raw.stream(4)),
    "raw.stream decoded": lambda r: b"".join(r.raw.stream(4, decode_content=True)),
    "raw, line by line": lambda r: list(r.raw),
    "raw.data": lambda r: [r.raw.data, r.raw.data],
    "raw, buffered": lambda r: io.BufferedReader(r.raw, 4).read(),
    "raw, as text": lambda r: list(io.TextIOWrapper(r.raw, "latin1")),
    "raw, drained": lambda r: [r.raw.drain_conn(), r.raw.read()],
    "raw, closed": lambda r: [r.raw.close(), r.raw.closed],
    "closed without reading": lambda r: [r.close(), r.raw.closed],
    "closed, then read": lambda r: [r.close(), r.content],
    "closed, then iterated": lambda r: [r.close(), list(r.iter_content(4))],
    "closed halfway": lambda r: [next(r.iter_content(4)), r.close()],
    "nothing": lambda r: None,
}


def streamed(path, read):
    """Return a scenario of streams that are read one after the other."""

    def scenario(session, world):
        return [each_stream(session, world.home + path, read) for _ in range(2)]

    return scenario


def each_stream(session, url, read):
    """Return what reading one stream gives, and what state it is left in."""
    with session.get(url, stream=True, headers={"Accept-Encoding": "gzip"}) as response:
        begun = [response.raw.tell(), response._content, response.raw.closed]  # noqa: SLF001
        try:
            came = read(response)
        except Exception as error:
            came = [type(error), str(error)]
        left = [response.raw.closed, response._content_consumed]  # noqa: SLF001
    return [begun, came, left, response.raw.closed]


@pytest.mark.parametrize("path", ["/lines", "/chunked/", "/gzip", "/until/", "/missing"])
@table(READERS)
def test_streams(world, scenario, path):
    """A stream gives the same however it is read, and its connection is kept or closed alike."""
    assert_same(world, with_policies, streamed(path, scenario))


@both
def test_stream_is_not_read_early(world, make):
    """The call returns when the headers are there, while the body is still to be sent."""
    gate, url = world.sites[0].gate, world.home + "/gated/"
    gate.clear()
    with make() as session, session.get(url, stream=True, timeout=10) as response:
        assert response.raw.tell() == 0
        gate.set()
        assert response.content == b"body"


def test_elapsed_ends_with_the_headers(world):
    """``elapsed`` says when the headers came, whether the body is read then or not."""
    with with_policies() as session:
        response = session.get(world.home + "/late/1000")
    assert response.content == b"body"
    assert response.elapsed < timedelta(seconds=0.9)


class Recorder(HTTPAdapter):
    """Keeps what it is called with."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def send(self, *args, **kwargs):
        """Note the call and make it."""
        (request,) = args
        timeout = kwargs.pop("timeout")
        self.calls.append([told_request(request), request.hooks, dict(kwargs)])
        assert isinstance(timeout, (tuple, type(None)))
        return super().send(request, timeout=timeout, **kwargs)


TRANSPORTED = {
    "nothing": {},
    "stream": {"stream": True},
    "verify off": {"verify": False},
    "verify by a file": {"verify": OWN},
    "certificate": {"cert": (OWN, OWN)},
    "proxies": {"proxies": {"https": "http://127.0.0.1:9"}},
    "data": {"data": {"a": 1}, "params": {"b": 2}, "headers": {"X-A": "1"}},
    "hooks": {"hooks": {"response": a_hook}},
    "auth": {"auth": ("user", "password"), "cookies": {"a": "1"}},
}


@pytest.mark.parametrize(
    "arguments", [pytest.param(one, id=name) for name, one in TRANSPORTED.items()]
)
@pytest.mark.parametrize("path", ["/echo", "/times/2"])
def test_transport_is_called_alike(world, arguments, path):
    """With all off, the transport gets what it gets from a plain session, as often."""

    def scenario(session, world):
        recorder = Recorder()
        session.mount("http://", recorder)
        session.post(world.home + path, **arguments).close()
        return recorder.calls

    assert_same(world, without_policies, scenario)
