"""What is remembered of the environment is what ``requests`` would answer, at every moment."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import UserDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
import requests.utils
from hypothesis import given
from hypothesis import strategies as st

from flask_resilience.outbound import environment as module
from flask_resilience.outbound.environment import Environment

URL = "http://orders.internal/v1"
URLS = (
    URL,
    "https://orders.internal:8443/v1?page=2#top",
    "HTTP://Orders.Internal",
    "http://ann:s3cret@orders.internal/v1",
    "http://ann@orders.internal@direct.internal/",
    "http://direct.internal:8080?direct",
    "http://direct.internal:80:80/",
    "http://direct.internal:99999/",
    "http://10.1.2.3/",
    "http://[::1]:8080/",
    "http://[::1/",
    "http://münchen.example/",
    "http:///v1",
    "file:///etc/hosts",
    "orders.internal",
)
NO_PROXY = (None, "", "orders.internal", "10.0.0.0/8,::1")
VARIABLES = {
    "HTTP_PROXY": "http://first.proxy:1",
    "Http_Proxy": "http://second.proxy:1",
    "no_proxy": "direct.internal",
}


def outcome(call: Callable[..., object], *arguments: object) -> object:
    """Return what a call answers, or the kind of error it raises."""
    try:
        return call(*arguments)
    except ValueError as error:
        return type(error)


def remembered(environment, url=URL, no_proxy=None):
    """Return all that *environment* says."""
    return (
        outcome(environment.proxies, url, no_proxy),
        outcome(environment.netrc_auth, url),
        environment.ca_bundle() or True,
    )


def asked(url=URL, no_proxy=None):
    """Return all that ``requests`` says."""
    with requests.Session() as session:
        settings = session.merge_environment_settings(URL, {}, None, None, None)
    return (
        outcome(requests.utils.get_environ_proxies, url, no_proxy),
        outcome(requests.utils.get_netrc_auth, url),
        settings["verify"],
    )


@contextmanager
def counted(function: Callable[..., object]) -> Iterator[list[str]]:
    """Count the calls of *function* without putting anything in its place."""
    calls = []

    def note(frame, event, _):
        if event == "call" and frame.f_code is function.__code__:
            calls.append(event)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(before)


def write_netrc(path: Path, host: str, code: str = "s3cret") -> None:
    """Write one entry."""
    path.write_text(f"machine {host} login ann password {code}\n")


@pytest.fixture(autouse=True)
def home(tmp_path):
    """Return the home of an environment that is put back after the test."""
    with mock.patch.dict(os.environ, {**VARIABLES, "HOME": str(tmp_path)}, clear=True):
        yield tmp_path


@pytest.fixture
def old_files(monkeypatch):
    """Take every file for one that has been at rest for long."""
    monkeypatch.setattr(module, "AT_REST", -(10**15))


def reorder(patch, home):
    """Set anew, as its value was, a variable that another one overrules."""
    os.environ["HTTP_PROXY"] = os.environ.pop("HTTP_PROXY")


def swap(patch, home):
    """Let two variables exchange names, the values staying where they are."""
    other = {"Http_Proxy": "no_proxy", "no_proxy": "Http_Proxy"}
    items = [(other.get(name, name), value) for name, value in os.environ.items()]
    os.environ.clear()
    os.environ.update(items)


def replace(patch, home):
    """Put a plain dict in the place of the environment, with another home."""
    (home / "new").mkdir()
    write_netrc(home / "new" / ".netrc", "orders.internal")
    patch.setattr(os, "environ", {"HOME": str(home / "new")})


def move_home(patch, home):
    """Go to a home with a netrc file."""
    (home / "new").mkdir()
    write_netrc(home / "new" / ".netrc", "orders.internal")
    patch.setenv("HOME", str(home / "new"))


def name_netrc(patch, home):
    """Name a file that is elsewhere."""
    write_netrc(home / "secrets", "orders.internal")
    patch.setenv("NETRC", str(home / "secrets"))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p, h: p.setenv("all_proxy", "socks5://a"), id="a variable set"),
        pytest.param(lambda p, h: p.setenv("http_proxy", "http://c:1"), id="one that overrules"),
        pytest.param(lambda p, h: p.setenv("Http_Proxy", "http://c:1"), id="a value changed"),
        pytest.param(lambda p, h: p.delenv("Http_Proxy"), id="a variable deleted"),
        pytest.param(lambda p, h: p.setenv("no_proxy", "*"), id="no_proxy changed"),
        pytest.param(lambda p, h: p.setenv("REQUEST_METHOD", "GET"), id="run as CGI"),
        pytest.param(lambda p, h: os.environ.update(FTP_PROXY="http://c:1"), id="updated"),
        pytest.param(lambda p, h: os.environb.update({b"A_PROXY": b"b"}), id="updated as bytes"),
        pytest.param(lambda p, h: os.environ.clear(), id="cleared"),
        pytest.param(reorder, id="the same variables in another order"),
        pytest.param(swap, id="two names exchanged"),
        pytest.param(replace, id="a dict"),
        pytest.param(lambda p, h: p.setattr(os, "environ", UserDict()), id="another mapping"),
        pytest.param(lambda p, h: p.setenv("CURL_CA_BUNDLE", "/curl.pem"), id="a CA bundle"),
        pytest.param(lambda p, h: p.setenv("REQUESTS_CA_BUNDLE", "/ca.pem"), id="another one"),
        pytest.param(move_home, id="another home"),
        pytest.param(name_netrc, id="a netrc file named"),
        pytest.param(lambda p, h: write_netrc(h / ".netrc", "orders.internal"), id="netrc appears"),
        pytest.param(lambda p, h: write_netrc(h / "_netrc", "orders.internal"), id="other name"),
    ],
)
def test_change_is_answered_at_once(change, monkeypatch, home, old_files):
    """After any change the answers are those of requests, and those of before are forgotten."""
    environment = Environment()
    before = asked()
    assert [remembered(environment) for _ in range(3)] == [before] * 3
    change(monkeypatch, home)
    after = asked()
    assert after != before
    assert [remembered(environment) for _ in range(3)] == [after] * 3


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda file: file.unlink(), id="goes"),
        pytest.param(lambda file: write_netrc(file, "orders.internal", "longer"), id="changes"),
        pytest.param(lambda file: write_netrc(file, "other.internal"), id="loses the entry"),
        pytest.param(lambda file: file.write_text("machine"), id="breaks"),
        pytest.param(
            lambda file: (
                write_netrc(file.with_name("a"), "orders.internal", "new")
                or file.with_name("a").replace(file)
            ),
            id="is replaced",
        ),
    ],
)
def test_changed_netrc_file_is_read_again(change, home, old_files):
    """What becomes of a netrc file shows at once."""
    environment = Environment()
    write_netrc(home / ".netrc", "orders.internal")
    assert environment.netrc_auth(URL) == environment.netrc_auth(URL) == ("ann", "s3cret")
    change(home / ".netrc")
    assert requests.utils.get_netrc_auth(URL) != ("ann", "s3cret")
    assert environment.netrc_auth(URL) == requests.utils.get_netrc_auth(URL)


def test_file_rewritten_at_once_is_read_again(home):
    """Changes too quick for the clock of the file system, of one size, show too."""
    environment, passwords = Environment(), [f"{number:04}" for number in range(200)]
    answers = []
    for password in passwords:
        write_netrc(home / ".netrc", "orders.internal", password)
        answers.append(environment.netrc_auth(URL))
    assert answers == [("ann", password) for password in passwords]


def test_young_file_is_read_each_time(home):
    """Where the clock of the file system is coarse, the next change might not show."""
    environment = Environment()
    write_netrc(home / ".netrc", "orders.internal")
    with counted(requests.utils.get_netrc_auth) as calls:
        assert [environment.netrc_auth(URL) for _ in range(3)] == [("ann", "s3cret")] * 3
    assert len(calls) == 3


def test_nothing_is_remembered_of_another_mapping(monkeypatch):
    """A mapping of an unknown kind may change unseen, so requests is asked each time."""
    monkeypatch.setattr(os, "environ", UserDict(os.environ))
    environment = Environment()
    with counted(requests.utils.get_environ_proxies) as proxies:
        answers = [environment.proxies(URL) for _ in range(3)]
    with counted(requests.utils.get_netrc_auth) as auths:
        assert [environment.netrc_auth(URL) for _ in range(3)] == [None] * 3
    assert (len(proxies), len(auths)) == (3, 3)
    assert answers == [asked()[0]] * 3


def test_relative_netrc_file_follows_the_working_directory(monkeypatch, home, old_files):
    """A relative path leads elsewhere after ``chdir``."""
    environment = Environment()
    monkeypatch.setenv("NETRC", "secrets")
    for name in ("one", "two"):
        (home / name).mkdir()
        write_netrc(home / name / "secrets", "orders.internal", name)
        monkeypatch.chdir(home / name)
        assert environment.netrc_auth(URL) == ("ann", name)


def test_pipe_is_read_each_time(monkeypatch, home, old_files):
    """What is no regular file may say something else each time, so it is asked each time."""
    monkeypatch.setenv("NETRC", os.devnull)
    environment = Environment()
    with counted(requests.utils.get_netrc_auth) as calls:
        assert [environment.netrc_auth(URL) for _ in range(3)] == [None] * 3
    assert len(calls) == 3


@pytest.mark.parametrize("no_proxy", NO_PROXY)
@pytest.mark.parametrize("url", URLS)
def test_answers_are_those_of_requests(url, no_proxy, home, old_files):
    """Whatever the URL, the answer is that of requests, its errors included."""
    environment = Environment()
    write_netrc(home / ".netrc", "orders.internal")
    for earlier in NO_PROXY:
        for other in URLS:
            remembered(environment, other, earlier)
    assert remembered(environment, url, no_proxy) == asked(url, no_proxy)


@pytest.mark.parametrize("url", [b"http://orders.internal/", b"http://other/", b"\xff"])
def test_url_in_bytes_is_answered(url, home):
    """A URL in bytes has an answer about netrc, too, with and without a file."""
    environment = Environment()
    for _ in range(2):
        environment.netrc_auth(URL)
        expected = outcome(requests.utils.get_netrc_auth, url)
        assert outcome(environment.netrc_auth, url) == expected
        write_netrc(home / ".netrc", "orders.internal")


@pytest.mark.parametrize("has_netrc", [False, True])
def test_many_calls_ask_once(has_netrc, home, old_files):
    """In an unchanged environment each host and port is asked about once, whatever the path."""
    environment = Environment()
    if has_netrc:
        write_netrc(home / ".netrc", "orders.internal")
    with counted(requests.utils.get_environ_proxies) as proxies:
        for number in range(50):
            environment.proxies(f"http://ann:{number}@orders.internal/{number}?{number}")
    with counted(requests.utils.get_netrc_auth) as auths:
        for number in range(50):
            environment.netrc_auth(f"http://ann:{number}@orders.internal/{number}?{number}")
    assert (len(proxies), len(auths)) == (1, 1)


def test_other_variable_does_not_make_netrc_be_read_again(home, old_files):
    """A netrc file is looked for again only when one of its own variables changes."""
    environment = Environment()
    with counted(requests.utils.get_netrc_auth) as calls:
        for number in range(5):
            os.environ["FOO"] = str(number)
            environment.netrc_auth(URL)
    assert len(calls) == 1


def test_other_user_is_asked_for_anew(monkeypatch):
    """A process that gives up its rights may no longer read what it remembers."""
    environment = Environment()
    with counted(requests.utils.get_netrc_auth) as calls:
        environment.netrc_auth(URL)
        monkeypatch.setattr(module, "_effective_user", lambda: -1)
        environment.netrc_auth(URL)
    assert len(calls) == 2


def test_no_more_answers_are_kept_than_the_limit(monkeypatch):
    """At the limit all answers go, and room is made for new ones."""
    monkeypatch.setattr(module, "ANSWERS_KEPT", 3)
    environment = Environment()
    sites = [f"http://host-{number}/" for number in range(4)]
    with counted(requests.utils.get_environ_proxies) as calls:
        for site in [*sites, sites[3], sites[0]]:
            environment.proxies(site)
    assert len(calls) == 5


@pytest.mark.parametrize("curl", ["", "/curl.pem"])
@pytest.mark.parametrize("own", ["", "/own.pem"])
def test_first_ca_bundle_that_is_not_empty_counts(own, curl, monkeypatch):
    """An empty variable is as good as none, and that of requests goes first."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", own)
    monkeypatch.setenv("CURL_CA_BUNDLE", curl)
    assert (Environment().ca_bundle() or True) == asked()[2]


def test_callers_may_change_their_answers():
    """No caller's change shows in a later answer, neither the first's nor a later one's."""
    environment = Environment()
    for _ in range(3):
        proxies = environment.proxies(URL)
        assert proxies == requests.utils.get_environ_proxies(URL)
        proxies["http"] = "http://changed:1"


@pytest.mark.parametrize(
    ("place", "name"),
    [
        pytest.param(place, name, id=name)
        for place, name in [
            (requests.utils, "get_environ_proxies"),
            (requests.utils, "should_bypass_proxies"),
            (requests.utils, "getproxies"),
            (requests.utils, "proxy_bypass"),
            (module.urllib.request, "getproxies_environment"),
            (requests.utils, "get_netrc_auth"),
            (os.path, "expanduser"),
            (os.path, "exists"),
        ]
    ],
)
def test_function_put_in_place_of_theirs_is_always_asked(place, name, monkeypatch):
    """Another's function, such as one that asks the system, may change its mind unseen."""
    environment = Environment()
    remembered(environment)
    double = mock.Mock(wraps=getattr(place, name))
    monkeypatch.setattr(place, name, double)
    for _ in range(3):
        double.reset_mock()
        remembered(environment)
        assert double.called
    monkeypatch.undo()
    assert remembered(environment) == asked()


def test_answer_given_amid_a_change_is_not_kept(monkeypatch):
    """A variable set while requests answers does not spoil what is said once it is gone."""
    environment = Environment()
    parse = requests.utils.urlparse

    def parse_late(url):
        os.environ["ALL_PROXY"] = "http://late:1"
        return parse(url)

    monkeypatch.setattr(requests.utils, "urlparse", parse_late)
    assert "all" in environment.proxies(URL)
    monkeypatch.undo()
    del os.environ["ALL_PROXY"]
    assert environment.proxies(URL) == requests.utils.get_environ_proxies(URL)


def test_file_that_appears_amid_an_answer_is_not_kept(monkeypatch, home, old_files):
    """What was read from a file is not said of the time when there is none."""
    environment, file, find = Environment(), home / ".netrc", os.stat

    def find_late(path, **options):
        if path == str(file):
            write_netrc(file, "orders.internal")
        return find(path, **options)

    monkeypatch.setattr(os, "stat", find_late)
    assert environment.netrc_auth(URL) == ("ann", "s3cret")
    monkeypatch.setattr(os, "stat", find)
    file.unlink()
    assert environment.netrc_auth(URL) is None


def test_forbidden_system_call_hides_no_file(monkeypatch, home, old_files):
    """Where a sandbox refuses the fast look for a file, the file is found all the same."""
    write_netrc(home / ".netrc", "orders.internal")
    monkeypatch.setattr(module, "_reaches", lambda path: False)
    environment = Environment()
    assert environment.netrc_auth(URL) == ("ann", "s3cret")
    (home / ".netrc").unlink()
    assert environment.netrc_auth(URL) is None


def test_threads_share_one_environment():
    """While one thread turns a variable on and off, others see one or the other, then the last."""
    environment = Environment()
    urls = [f"http://host-{number}/" for number in range(5)]
    off = environment.proxies(urls[0])
    seen = []

    def ask():
        for number in range(400):
            seen.append(environment.proxies(urls[number % 5]))
            environment.netrc_auth(urls[number % 5])

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        for _ in range(200):
            os.environ["ALL_PROXY"] = "http://a:1"
            del os.environ["ALL_PROXY"]
        for one in asking:
            one.result()
    assert all(one in (off, {**off, "all": "http://a:1"}) for one in seen)
    assert [environment.proxies(url) for url in urls] == [off] * 5


HOMES = ("one", "two")
VALUES = {
    "http_proxy": ("", "http://a:1"),
    "HTTP_PROXY": ("http://b:1",),
    "Http_Proxy": ("http://c:1",),
    "HTTPS_PROXY": ("http://a:1", "http://b:1"),
    "no_proxy": ("", "*", "direct.internal", "10.0.0.0/8"),
    "ALL_PROXY": ("socks5://a",),
    "NETRC": ("", "one/_netrc", "two/.netrc", "nowhere"),
    "HOME": HOMES,
    "FOO": ("1", "2"),
}
STEPS = st.one_of(
    st.sampled_from([("set", name, value) for name in VALUES for value in VALUES[name]]),
    st.sampled_from([("delete", name) for name in VALUES]),
    st.tuples(
        st.just("write"),
        st.sampled_from(HOMES),
        st.sampled_from((".netrc", "_netrc")),
        st.sampled_from(("machine orders.internal", "default", "machine 10.1.2.3", "broken")),
    ),
    st.tuples(st.just("remove"), st.sampled_from(HOMES), st.sampled_from((".netrc", "_netrc"))),
)
ASK = st.tuples(st.just("ask"), st.sampled_from(URLS), st.sampled_from(NO_PROXY))


def take(step, folder: Path, number: int) -> None:
    """Change the environment; each file is of a size of its own."""
    match step:
        case ("set", ("HOME" | "NETRC") as name, value):
            os.environ[name] = str(folder / value)
        case ("set", name, value):
            os.environ[name] = value
        case ("delete", name):
            os.environ.pop(name, None)
        case ("write", place, name, entry):
            text = f"{entry} login ann password {'x' * (number + 1)}\n"
            (folder / place / name).write_text(text)
        case ("remove", place, name):
            (folder / place / name).unlink(missing_ok=True)


@given(steps=st.lists(st.one_of(STEPS, ASK, ASK), max_size=40))
def test_whatever_happens_the_answers_are_those_of_requests(steps):
    """After any changes in any order, an answer is the one requests would give."""
    environment = Environment()
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, {**VARIABLES, "HOME": f"{folder}/one"}, clear=True),
        mock.patch.object(module, "AT_REST", -(10**15)),
    ):
        for name in HOMES:
            Path(folder, name).mkdir()
        for number, step in enumerate(steps):
            take(step, Path(folder), number)
            url, no_proxy = step[1:] if step[0] == "ask" else (URL, None)
            assert remembered(environment, url, no_proxy) == asked(url, no_proxy), steps[:number]
