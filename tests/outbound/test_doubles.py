"""The usual test doubles of requests still intercept the session, with retries running."""

from __future__ import annotations

import pytest
import requests
import requests_mock
import responses

URL = "https://api.invalid/v1"


def test_responses_intercepts_and_retries_run(session, clock):
    """``responses`` answers 503 then 200, and the session tries twice."""
    with responses.RequestsMock() as mock:
        mock.get(URL, status=503)
        mock.get(URL, status=200, json={"a": 1})
        assert session.get(URL).json() == {"a": 1}
        assert len(mock.calls) == 2
    assert len(clock.slept) == 1


@pytest.mark.parametrize("whole_class", [True, False], ids=["every session", "this session"])
def test_requests_mock_intercepts_and_retries_run(session, clock, whole_class):
    """``requests-mock`` answers 503 then 200, and the session tries twice."""
    with requests_mock.Mocker(session=None if whole_class else session) as mock:
        mock.get(URL, [{"status_code": 503}, {"json": {"a": 1}}])
        assert session.get(URL).json() == {"a": 1}
        assert mock.call_count == 2
    assert len(clock.slept) == 1


@pytest.mark.parametrize("whole_class", [True, False], ids=["every session", "this session"])
def test_session_is_itself_again_after_requests_mock(session, make_upstream, whole_class):
    """When the mock is gone the session calls out again, and still retries."""
    with requests_mock.Mocker(session=None if whole_class else session) as mock:
        mock.get(URL)
        session.get(URL)
    upstream = make_upstream(503, 200)
    assert session.get(upstream.url).status_code == 200
    assert len(upstream.requests) == 2


def test_requests_mock_adapter_can_be_mounted(session, clock):
    """A mounted adapter of the user's is guarded like our own."""
    adapter = requests_mock.Adapter()
    adapter.register_uri("GET", "mock://host/", [{"status_code": 503}, {"text": "ok"}])
    session.mount("mock://", adapter)
    assert session.get("mock://host/").text == "ok"
    assert len(clock.slept) == 1


def test_connection_error_of_a_double_is_retried(session, clock):
    """A ``requests.ConnectionError`` without a cause is a failure like any other."""
    with responses.RequestsMock() as mock:
        mock.get(URL, body=requests.ConnectionError("refused"))
        mock.get(URL, status=200)
        assert session.get(URL).status_code == 200
