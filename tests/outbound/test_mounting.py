"""Adapters that users mount: guarded, timed, and with no retries beside the session's."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from flask_resilience import ClientOptions, ConfigurationError, ResilientSession, RetryPolicy
from flask_resilience.events import ConfigSuspicious
from flask_resilience.testing import FakeClock, Reply

RESET = Reply(fault="reset")
SEVERAL = [
    pytest.param(3, id="a number"),
    pytest.param(Retry(3, status_forcelist=[503]), id="a policy"),
    pytest.param(Retry(None, connect=2), id="without a total"),
]
NONE = [
    pytest.param(0, id="none"),
    pytest.param(Retry(0, read=False), id="the default"),
    pytest.param(Retry(False), id="off"),
]


def suspicions(events):
    """Return what was found suspicious."""
    return [event for event in events if isinstance(event, ConfigSuspicious)]


@pytest.mark.parametrize("retries", SEVERAL)
@pytest.mark.parametrize("reply", [503, RESET])
def test_retries_of_an_adapter_do_not_multiply(session, make_upstream, events, retries, reply):
    """A mounted adapter with retries of its own: four on the wire, and one warning."""
    upstream = make_upstream(reply)
    session.mount("http://", HTTPAdapter(max_retries=retries))
    session.get(upstream.url, fallback="down")
    assert len(upstream.requests) == 4
    (told,) = suspicions(events)
    assert told.check == "adapter_retries"
    assert "'http://'" in told.hint


@pytest.mark.parametrize("retries", NONE)
def test_adapter_without_retries_warns_of_nothing(session, events, retries):
    """An adapter that repeats nothing is as good as the session's own."""
    session.mount("http://", HTTPAdapter(max_retries=retries))
    assert suspicions(events) == []


def test_without_a_listener_the_warning_is_pythons():
    """A session in a script has nobody to tell but whoever reads warnings, once an adapter."""
    adapter = HTTPAdapter(max_retries=3)
    with ResilientSession(clock=FakeClock()) as session:
        with pytest.warns(UserWarning, match="retries of its own") as warned:
            session.mount("http://", adapter)
        session.mount("https://", adapter)
    assert [one.filename for one in warned] == [__file__]


def test_adapter_may_retry_where_the_session_does_not(make_session, make_upstream, events):
    """With one attempt in the policy the adapter is the one who retries, and nothing warns."""
    session = make_session(retry=RetryPolicy(attempts=1))
    upstream = make_upstream(503, 503, 200)
    session.mount("http://", HTTPAdapter(max_retries=Retry(2, status_forcelist=[503])))
    assert session.get(upstream.url).status_code == 200
    assert suspicions(events) == []


@pytest.mark.parametrize("size", [1, 7])
def test_pools_keep_as_many_connections_as_set(make_session, size):
    """``pool_size`` is what each host's pool keeps."""
    session = make_session(ClientOptions(pool_size=size))
    pools = session.get_adapter("http://").poolmanager
    assert pools.connection_from_url("http://127.0.0.1:9").pool.maxsize == size


@pytest.mark.parametrize("size", [0, -1, 2.5, None])
def test_wrong_pool_size_is_named(size):
    """A pool of no connection is refused: urllib3 would take it for one without a limit."""
    with pytest.raises(ConfigurationError, match=r"pool_size is .*; it must be a whole number"):
        ClientOptions(pool_size=size)


def test_plain_session_keeps_the_retries_of_its_adapter(make_upstream):
    """What was not mounted here is left alone."""
    upstream = make_upstream(503, 200)
    with requests.Session() as plain:
        plain.mount("http://", HTTPAdapter(max_retries=Retry(1, status_forcelist=[503])))
        assert plain.get(upstream.url).status_code == 200


def test_retries_asked_for_by_a_call_do_not_multiply(make_session, make_upstream, events):
    """A call that asks for retries is the one to make them, and not its adapter, too."""
    session = make_session(retry=RetryPolicy(attempts=1))
    upstream = make_upstream(503)
    session.mount("http://", HTTPAdapter(max_retries=Retry(3, status_forcelist=[503])))
    session.get(upstream.url, retries=3)
    assert len(upstream.requests) == 4
    assert len(suspicions(events)) == 1


def test_double_without_pools_can_be_mounted(session):
    """An adapter that a test made without its parts is mounted as ``requests`` mounts it."""

    class Double(HTTPAdapter):
        def __init__(self):
            """Have none of what an adapter has."""

        def send(self, request, **kwargs):
            answer = requests.Response()
            answer.status_code, answer.request, answer.raw = 200, request, io.BytesIO(b"double")
            return answer

        def close(self):
            """Have nothing to close."""

    session.mount("http://", Double())
    session.begin_anew()
    assert session.get("http://a.invalid/").text == "double"


def test_mixin_behind_the_session_is_asked(make_upstream):
    """A class that comes next in the order of bases has its say about requests and settings."""

    class Signed(requests.Session):
        def prepare_request(self, request):
            prepared = super().prepare_request(request)
            prepared.headers["X-Signed"] = "yes"
            return prepared

        def merge_environment_settings(self, *args):
            return {**super().merge_environment_settings(*args), "verify": "from the mixin"}

    class Both(ResilientSession, Signed):
        """A resilient session of a company's own."""

    upstream = make_upstream(200)
    with Both(clock=FakeClock()) as session:
        assert session.get(upstream.url).request.headers["X-Signed"] == "yes"
        settings = session.merge_environment_settings(upstream.url, {}, None, None, None)
    assert settings["verify"] == "from the mixin"


@pytest.mark.parametrize("headers", [None, {"X-A": None, "X-B": "b"}, [("X-B", "b")]])
def test_odd_headers_of_a_session_are_requests_business(session, make_upstream, headers):
    """Whatever stands for a session's headers is merged as ``requests`` merges it."""
    upstream = make_upstream(200)
    received = []
    for one in (session, requests.Session()):
        one.headers = headers
        try:
            one.get(upstream.url)
            got = {**upstream.requests[-1].headers, "host": ""}
            received.append({name: got[name] for name in got if name != "traceparent"})
        except Exception as error:
            received.append(type(error))
    assert received[0] == received[1]


def test_copy_shares_what_the_session_has(session, make_upstream, events):
    """A copy is told of by the same listener, and meets the same circuits."""
    same = copy.copy(session)
    same.get(make_upstream(200).url)
    assert len(events) == 2
    assert same.adapters is session.adapters


def test_subclass_with_arguments_of_its_own_survives_pickling():
    """A subclass's own constructor is not called with what it does not expect."""
    with Named("ours", clock=FakeClock()) as session:
        assert isinstance(pickle.loads(pickle.dumps(session)), Named)


class Named(ResilientSession):
    """A session that must be given a name."""

    def __init__(self, name, *, clock):
        """Take the name before anything else."""
        super().__init__(clock=clock)
        self.name = name
