"""The session: every verb retried, broken and told of, on real sockets."""

from __future__ import annotations

import copy
import io
import pickle
import socket
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest
import requests
import requests_mock

from flask_resilience import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    ClientOptions,
    ConfigurationError,
    DeadlineExceededError,
    ResilientSession,
    RetryPolicy,
)
from flask_resilience.events import AttemptFinished, CallFinished, RetryScheduled
from flask_resilience.outbound.adapter import origin_of
from flask_resilience.storage.memory import MemoryStorage
from flask_resilience.testing import Reply

SAFE_VERBS = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE")
UNSAFE_VERBS = ("POST", "PATCH")


def told(events, kind):
    """Return the events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def test_get_is_retried_until_it_is_answered(session, make_upstream, clock):
    """503, 503, 200: three on the wire, waits near 1 and 2 s, retries numbered."""
    upstream = make_upstream(503, 503, 200)
    assert session.get(upstream.url).status_code == 200
    assert [one.headers.get("x-retry-attempt") for one in upstream.requests] == [None, "1", "2"]
    assert 0.8 <= clock.slept[0] <= 1.2
    assert 1.6 <= clock.slept[1] <= 2.4


@pytest.mark.parametrize("verb", SAFE_VERBS)
def test_safe_verb_is_retried_after_a_500(session, make_upstream, verb):
    """Every idempotent verb is sent again after any failure."""
    upstream = make_upstream(500, 200)
    assert session.request(verb, upstream.url).status_code == 200
    assert [one.method for one in upstream.requests] == [verb, verb]


@pytest.mark.parametrize("verb", UNSAFE_VERBS)
@pytest.mark.parametrize(
    ("reply", "sent"),
    [
        pytest.param(503, 2, id="503 says it did not act"),
        pytest.param(429, 2, id="429 says it did not act"),
        pytest.param(500, 1, id="500 may have acted"),
        pytest.param(502, 1, id="502 may have acted"),
        pytest.param(Reply(fault="truncate"), 1, id="a truncated answer"),
        pytest.param(Reply(fault="reset"), 1, id="a reset"),
    ],
)
def test_unsafe_verb_is_resent_only_if_it_did_not_act(session, make_upstream, verb, reply, sent):
    """POST and PATCH without a key are sent again only when the upstream surely did not act."""
    upstream = make_upstream(reply, 200)
    if sent == 2 or isinstance(reply, int):
        session.request(verb, upstream.url, json={"a": 1})
    else:
        with pytest.raises(requests.RequestException):
            session.request(verb, upstream.url, json={"a": 1})
    assert len(upstream.requests) == sent


@pytest.mark.parametrize("verb", UNSAFE_VERBS)
def test_unsafe_verb_that_never_left_is_resent(session, clock, verb):
    """POST and PATCH to a refused connection are tried four times: nothing was sent."""
    with pytest.raises(requests.ConnectionError):
        session.request(verb, "http://127.0.0.1:9/", json={})
    assert len(clock.slept) == 3


@pytest.mark.parametrize(
    ("rule", "reply", "sent"),
    [
        pytest.param("never", 503, 1, id="never resends not even a 503"),
        pytest.param("always", 500, 2, id="always resends a 500"),
    ],
)
def test_rule_for_unsafe_verbs_can_be_moved(make_session, make_upstream, rule, reply, sent):
    """RETRY_UNSAFE moves the line for POST and PATCH."""
    upstream = make_upstream(reply, 200)
    make_session(retry=RetryPolicy(unsafe=rule)).post(upstream.url)
    assert len(upstream.requests) == sent


def test_fallback_in_an_except_block_is_judged_by_itself(session, make_upstream):
    """A POST that is made while a refused connection is handled may have acted: it is sent once."""
    upstream = make_upstream(Reply(fault="reset"))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    try:
        session.get(refused, retries=0)
    except requests.ConnectionError:
        with pytest.raises(requests.ConnectionError):
            session.post(upstream.url)
    assert len(upstream.requests) == 1


def test_minted_key_makes_a_post_safe_and_stays_the_same(session, make_upstream):
    """With idempotency_key=True a POST is retried after a 500, with one key for the call."""
    upstream = make_upstream(500, 500, 200)
    session.post(upstream.url, json={}, idempotency_key=True)
    session.post(upstream.url, json={}, idempotency_key=True)
    keys = [one.headers["idempotency-key"] for one in upstream.requests]
    assert len(keys) == 4
    assert keys[0] == keys[1] == keys[2] != keys[3]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"idempotency_key": "order-7"}, id="given"),
        pytest.param({"headers": {"Idempotency-Key": "order-7"}}, id="in the headers"),
        pytest.param({"idempotent": True}, id="said to be idempotent"),
    ],
)
def test_caller_can_make_a_patch_safe(session, make_upstream, arguments):
    """A key of the caller's, or their word, makes a PATCH safe to send again."""
    upstream = make_upstream(500, 200)
    assert session.patch(upstream.url, json={}, **arguments).status_code == 200


@pytest.mark.parametrize("key", ["", "two words", "é", 7, "x" * 256])
def test_key_that_is_no_header_value_is_refused(session, key):
    """A key that cannot be sent raises before anything is."""
    with pytest.raises(ConfigurationError, match="idempotency_key is"):
        session.post("http://127.0.0.1:9/", idempotency_key=key)


def test_file_is_sent_whole_every_time(session, make_upstream):
    """A file returns to where it stood: the second request carries every byte."""
    upstream = make_upstream(503, 200)
    body = io.BytesIO(b"skipped" + b"x" * 100_000)
    body.seek(7)
    session.patch(upstream.url, data=body)
    assert [len(one.body) for one in upstream.requests] == [100_000, 100_000]
    assert [one.headers["content-length"] for one in upstream.requests] == ["100000", "100000"]


def test_generator_is_sent_once(session, make_upstream, events):
    """A body that cannot be produced again gets one attempt, and the report says why."""
    upstream = make_upstream(503, 200)
    response = session.put(upstream.url, data=(part for part in [b"a", b"b"]))
    assert (response.status_code, len(upstream.requests)) == (503, 1)
    assert upstream.requests[0].body == b"ab"
    assert told(events, CallFinished)[0].stop_reason == "body"


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 404, 409, 422])
def test_answer_is_returned_at_once_and_not_counted(make_session, make_upstream, status):
    """An answer that is no failure, 4xx included, is returned at once and trips nothing."""
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=1))
    upstream = make_upstream(status)
    for _ in range(3):
        assert session.get(upstream.url, allow_redirects=False).status_code == status
    assert len(upstream.requests) == 3


def test_circuit_opens_after_five_failures_in_a_row(session, make_upstream):
    """The fifth failed attempt opens the circuit; the next call sends nothing."""
    upstream = make_upstream(500)
    assert session.get(upstream.url).status_code == 500
    assert session.get(upstream.url).status_code == 500
    assert len(upstream.requests) == 5
    with pytest.raises(CircuitOpenError) as raised:
        session.get(upstream.url)
    assert isinstance(raised.value, requests.ConnectionError)
    assert raised.value.upstream == upstream.url
    assert raised.value.request.url == upstream.url + "/"
    assert len(upstream.requests) == 5


def test_one_trial_closes_the_circuit(session, make_upstream, clock):
    """After the recovery time one good trial closes the circuit."""
    upstream = make_upstream(*[500] * 5, 200)
    for _ in range(2):
        session.get(upstream.url)
    clock.advance(66)
    assert [session.get(upstream.url).status_code for _ in range(3)] == [200] * 3


def test_circuit_that_opens_during_a_call_ends_it(make_session, make_upstream, clock, events):
    """When its own failure opens the circuit, a call makes no further attempt and no wait."""
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=2))
    upstream = make_upstream(503)
    assert session.get(upstream.url).status_code == 503
    assert (len(upstream.requests), len(clock.slept)) == (2, 1)
    finish = told(events, CallFinished)[0]
    assert (finish.outcome, finish.stop_reason) == ("circuit_open", "circuit_open")


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_interrupted_trial_is_handed_back(make_session, make_upstream, clock, interruption):
    """What interrupts a trial is raised as it is, and the next call may try."""
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=1))
    upstream = make_upstream(500, 200)
    session.get(upstream.url, retries=0)
    clock.advance(66)

    class Interrupting(requests.adapters.HTTPAdapter):
        def send(self, *args, **kwargs):
            raise interruption

    transport = session.adapters["http://"]
    session.mount("http://", Interrupting())
    with pytest.raises(interruption):
        session.get(upstream.url)
    session.mount("http://", transport)
    assert session.get(upstream.url).status_code == 200


def test_failing_target_of_a_redirect_is_charged_and_tried_four_times(session, make_upstream):
    """Behind a redirect the failing host is tried 4 times, not 16, and its circuit counts."""
    failing = make_upstream(500)
    front = make_upstream(Reply(status=302, headers={"Location": failing.url + "/b"}))
    assert session.get(front.url).status_code == 500
    assert (len(front.requests), len(failing.requests)) == (1, 4)
    session.get(failing.url)
    with pytest.raises(CircuitOpenError) as raised:
        session.get(front.url)
    assert raised.value.upstream == failing.url
    assert session.get(front.url, allow_redirects=False).status_code == 302


def test_per_call_retries_and_their_range(session, make_upstream):
    """``retries=0`` makes one attempt; a wrong number is refused by name."""
    upstream = make_upstream(503)
    session.get(upstream.url, retries=0)
    assert len(upstream.requests) == 1
    with pytest.raises(ConfigurationError, match="retries is -1; it must be a whole number"):
        session.get(upstream.url, retries=-1)


def test_wait_that_does_not_fit_is_not_begun(session, make_upstream, clock, events):
    """A wait longer than the rest of the deadline ends the call with the original answer."""
    upstream = make_upstream(503)
    assert session.get(upstream.url, deadline=0.5).status_code == 503
    assert (len(upstream.requests), clock.slept) == (1, [])
    assert told(events, CallFinished)[0].outcome == "deadline"


def test_retry_after_is_obeyed(session, make_upstream, clock):
    """Retry-After: 5 makes the wait 5 to 5.5 s instead of about 1."""
    upstream = make_upstream(Reply(status=429, headers={"Retry-After": "5"}), 200)
    session.get(upstream.url)
    assert 5.0 <= clock.slept[0] <= 5.5


def test_retry_after_beyond_the_longest_returns_the_answer(session, make_upstream, clock, events):
    """An upstream that asks for a day is left alone and its answer returned at once."""
    upstream = make_upstream(Reply(status=503, headers={"Retry-After": "86400"}))
    assert session.get(upstream.url).status_code == 503
    assert clock.slept == []
    assert told(events, CallFinished)[0].stop_reason == "retry_after"


def test_events_tell_the_whole_call(session, make_upstream, events, clock):
    """A call of three attempts makes three attempt, two retry and one finish event, tied by ID."""
    upstream = make_upstream(503, Reply(fault="reset"), 200)
    session.get(upstream.url)
    attempts, retries = told(events, AttemptFinished), told(events, RetryScheduled)
    (finish,) = told(events, CallFinished)
    assert [(one.attempt, one.status, one.error_type, one.failed) for one in attempts] == [
        (1, 503, None, True),
        (2, None, "ConnectionError", True),
        (3, 200, None, False),
    ]
    assert [(one.attempt, one.reason) for one in retries] == [(1, "503"), (2, "ConnectionError")]
    assert (finish.attempts, finish.outcome, finish.stop_reason) == (3, "success", None)
    assert {one.max_attempts for one in attempts} == {4}
    assert finish.waited == sum(clock.slept)
    assert {one.call_id for one in [*attempts, *retries, finish]} == {finish.call_id}


@pytest.mark.parametrize(
    ("script", "verb", "outcome", "reason"),
    [
        pytest.param([200], "GET", "success", None, id="good"),
        pytest.param([404], "GET", "success", None, id="a 404 is an answer"),
        pytest.param([503], "GET", "exhausted", "attempts", id="always 503"),
        pytest.param([507], "GET", "failed", "error", id="not worth a retry"),
        pytest.param([500], "POST", "not_retryable", "unsafe", id="may have acted"),
    ],
)
def test_finish_says_how_and_why(session, make_upstream, events, script, verb, outcome, reason):
    """The finish event names the outcome and why no further attempt was made."""
    session.request(verb, make_upstream(*script).url)
    (finish,) = told(events, CallFinished)
    assert (finish.outcome, finish.stop_reason) == (outcome, reason)


def test_invalid_url_is_the_callers_mistake(session, events):
    """A URL that cannot be sent is raised as requests raises it, and is nobody's failure."""
    for wrong in ("nowhere", "ftp://host/", "http://", "http://[::1/"):
        with pytest.raises(ValueError, match=r"\S"):
            session.get(wrong)
    assert told(events, AttemptFinished) == []


def test_header_that_cannot_be_sent_is_not_retried(session, clock):
    """A header with a line break raises InvalidHeader at once."""
    with pytest.raises(requests.exceptions.InvalidHeader):
        session.get("http://127.0.0.1:9/", headers={"X-A": "a\r\nb"})
    assert clock.slept == []


def test_client_has_a_base_url_a_name_and_headers(make_session, make_upstream, events):
    """A client's relative URLs go behind its base URL; its name stands for the upstream."""
    upstream = make_upstream(200)
    options = ClientOptions(
        name="billing", base_url=upstream.url + "/v1/", headers={"X-Team": "shop"}
    )
    session = make_session(options)
    for relative in ("/invoices", "invoices", "?page=2", "", "/next?to=http://elsewhere"):
        session.get(relative)
    assert [one.path for one in upstream.requests] == [
        "/v1/invoices",
        "/v1/invoices",
        "/v1/?page=2",
        "/v1/",
        "/v1/next?to=http://elsewhere",
    ]
    assert upstream.requests[0].headers["x-team"] == "shop"
    assert {one.upstream for one in told(events, CallFinished)} == {"billing"}


def test_client_name_stands_only_for_its_own_host(make_session, make_upstream, events):
    """An absolute URL to another host has that host's circuit."""
    own, other = make_upstream(200), make_upstream(200)
    make_session(ClientOptions(name="billing", base_url=own.url)).get(other.url)
    assert told(events, CallFinished)[0].upstream == other.url


def test_raise_for_status(make_session, make_upstream):
    """With raise_for_status a final 4xx or 5xx raises, after the retries."""
    upstream = make_upstream(503)
    session = make_session(ClientOptions(raise_for_status=True))
    with pytest.raises(requests.HTTPError):
        session.get(upstream.url)
    assert len(upstream.requests) == 4
    prepared = session.prepare_request(requests.Request("GET", make_upstream(404).url))
    with pytest.raises(requests.HTTPError):
        session.send(prepared)


def test_body_is_part_of_the_attempt(session, make_upstream):
    """A truncated body is a failure of its attempt, and retried like any other."""
    upstream = make_upstream(Reply(body=b"12345678", fault="truncate"), Reply(body=b"whole"))
    assert session.get(upstream.url).content == b"whole"


def test_garbage_is_a_failure(session, make_upstream):
    """What is no HTTP is a failure of the upstream, and retried."""
    upstream = make_upstream(Reply(fault="garbage"), 200)
    assert session.get(upstream.url).status_code == 200


def test_stream_is_judged_when_its_body_ends(make_session, make_upstream, events):
    """A stream that breaks off counts as a failure when it does, not as a success before."""
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=1))
    upstream = make_upstream(Reply(body=b"x" * 100, fault="truncate"))
    response = session.get(upstream.url, stream=True)
    assert events == []
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        list(response.iter_content(10))
    assert told(events, AttemptFinished)[0].error_type == "ChunkedEncodingError"
    assert told(events, CallFinished)[0].outcome == "failed"
    with pytest.raises(CircuitOpenError):
        session.get(upstream.url)


@pytest.mark.parametrize("read", [lambda r: r.content, lambda r: r.close(), lambda r: r.text])
def test_stream_is_told_of_once(session, make_upstream, events, read):
    """Reading a stream to its end, or closing it, finishes its call exactly once."""
    with session.get(make_upstream(200).url, stream=True) as response:
        assert told(events, CallFinished) == []
        read(response)
    assert [one.outcome for one in told(events, CallFinished)] == ["success"]


def test_streamed_failure_is_retried_before_it_is_handed_out(session, make_upstream):
    """With stream=True a bad status is retried like without."""
    upstream = make_upstream(503, Reply(body=b"abc"))
    with session.get(upstream.url, stream=True) as response:
        assert b"".join(response.iter_content(1)) == b"abc"


def test_call_within_a_calls_attempt_makes_one_attempt(make_session, make_upstream):
    """A guarded call made inside another one's attempt does not multiply: 4 sends, not 16."""
    inner_upstream = make_upstream(500)
    inner = make_session(breaker=CircuitBreakerPolicy(failure_threshold=99))

    class Gateway(requests.adapters.HTTPAdapter):
        def send(self, request, **kwargs):
            return inner.get(inner_upstream.url)

    outer = make_session()
    outer.mount("http://gateway.invalid", Gateway())
    assert outer.get("http://gateway.invalid/").status_code == 500
    assert len(inner_upstream.requests) == 4


def test_prepared_request_is_a_call_of_its_own_and_stays_as_it_was(session, make_upstream, events):
    """``session.send`` retries too, and what the user prepared is not changed by it."""
    upstream = make_upstream(503, 200)
    prepared = session.prepare_request(requests.Request("GET", upstream.url))
    before = dict(prepared.headers)
    assert session.send(prepared).status_code == 200
    assert dict(prepared.headers) == before
    assert told(events, CallFinished)[0].attempts == 2


@pytest.mark.parametrize(
    "error",
    [
        pytest.param("circuit", id="circuit open"),
        pytest.param("deadline", id="deadline exceeded"),
    ],
)
def test_error_of_a_call_survives_pickling(make_session, make_upstream, clock, error):
    """Errors of calls can be sent to another process, with all their facts."""
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=1))
    upstream = make_upstream(500)
    expected = CircuitOpenError if error == "circuit" else DeadlineExceededError
    if error == "circuit":
        session.get(upstream.url, retries=0)
    else:
        session.hooks["response"].append(lambda response, **_: clock.advance(99))
        upstream.script = [Reply(status=302, headers={"Location": "/again"})]
    with pytest.raises(expected) as raised:
        session.get(upstream.url)
    same = pickle.loads(pickle.dumps(raised.value))
    assert type(same) is type(raised.value)
    assert (str(same), same.to_dict()) == (str(raised.value), raised.value.to_dict())


def test_failed_streams_go_back_to_the_pool(session, make_upstream):
    """Retries of a stream use one connection: the answers nobody reads are closed."""
    upstream = make_upstream(503, 503, 200)
    with session.get(upstream.url, stream=True) as response:
        assert response.content == b"ok"
    pools = session.adapters["http://"].poolmanager.pools
    (pool,) = [pools[key] for key in pools.keys()]  # noqa: SIM118  # it is no mapping to iterate
    assert (pool.num_requests, pool.pool.qsize()) == (3, pool.pool.maxsize)


def test_second_try_of_a_digest_is_guarded(session, make_upstream, clock):
    """The follow-up that digest authentication sends is retried and timed like any request."""
    challenge = {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'}
    upstream = make_upstream(Reply(status=401, headers=challenge), 503, 200)
    digest = requests.auth.HTTPDigestAuth("user", "password")
    assert session.get(upstream.url, auth=digest).status_code == 200
    assert ["authorization" in one.headers for one in upstream.requests] == [False, True, True]


def test_follow_up_of_a_retried_answer_is_a_first_attempt(session, make_upstream):
    """What a hook sends again begins to count anew."""
    challenge = {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'}
    upstream = make_upstream(503, Reply(status=401, headers=challenge), 200)
    session.get(upstream.url, auth=requests.auth.HTTPDigestAuth("user", "password"))
    assert [one.headers.get("x-retry-attempt") for one in upstream.requests] == [None, "1", None]


def test_too_many_requests_fails_a_trial(make_session, make_upstream, clock):
    """429 counts as a success, but one that answers a trial opens the circuit again."""
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=1))
    upstream = make_upstream(429, 429, 500, 429)
    for _ in range(3):
        session.get(upstream.url, retries=0)
    clock.advance(66)
    assert session.get(upstream.url, retries=0).status_code == 429
    with pytest.raises(CircuitOpenError):
        session.get(upstream.url)


def test_lease_of_a_trial_is_the_attempts_time_and_a_second(make_session, make_upstream, clock):
    """A trial that never comes back counts as failed one second after its attempt had to end."""
    storage = MemoryStorage(clock)
    session = make_session(breaker=CircuitBreakerPolicy(failure_threshold=1), storage=storage)
    upstream = make_upstream(500, 200)
    session.get(upstream.url, retries=0)
    clock.advance(66)
    leases = []

    def look(response, **_):
        leases.extend(storage.read(upstream.url).circuit.trials)

    session.get(upstream.url, stream=True, timeout=7, hooks={"response": look}).close()
    session.get(upstream.url)
    assert [lease.expires_at - clock.now for lease in leases] == [8.0]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_interrupted_call_is_told_of(session, events, interruption):
    """A call that is interrupted is told of as failed, and the next one is a call of its own."""

    class Interrupting(requests.adapters.HTTPAdapter):
        def send(self, *args, **kwargs):
            raise interruption

    session.mount("http://", Interrupting())
    for _ in range(2):
        with pytest.raises(interruption):
            session.get("http://a.invalid/")
    ends = [(one.outcome, one.stop_reason) for one in told(events, CallFinished)]
    assert ends == [("failed", "interrupted")] * 2
    assert len({one.call_id for one in events}) == 2


def test_hook_that_calls_with_another_session_makes_a_call_of_its_own(
    make_session, make_upstream, events
):
    """A session used within another one's call keeps its own settings and call."""
    first, second = make_upstream(200), make_upstream(200)
    other = make_session(ClientOptions(headers={"X-Other": "1"}))
    hooks = {"response": lambda response, **_: other.get(second.url) and None}
    make_session().get(first.url, hooks=hooks)
    assert second.requests[0].headers["x-other"] == "1"
    assert len({one.call_id for one in told(events, CallFinished)}) == 2


def test_hook_that_sends_with_another_session_makes_a_call_of_its_own(
    make_session, make_upstream, events
):
    """What another session sends meanwhile is that session's call, with its own settings."""
    first, second = make_upstream(200), make_upstream(503)
    other = make_session(retry=RetryPolicy(attempts=2))
    prepared = other.prepare_request(requests.Request("GET", second.url))
    hooks = {"response": lambda response, **_: other.send(prepared) and None}
    make_session().get(first.url, hooks=hooks)
    assert len(second.requests) == 2
    assert [one.upstream for one in told(events, CallFinished)] == [second.url, first.url]


def test_nothing_is_sent_after_the_deadline(session, make_upstream, clock, events):
    """A redirect that comes when the time is over is not followed, and is no failed attempt."""
    upstream = make_upstream(Reply(status=302, headers={"Location": "/again"}))
    hooks = {"response": lambda response, **_: clock.advance(99)}
    with pytest.raises(DeadlineExceededError):
        session.get(upstream.url, hooks=hooks)
    assert [one.path for one in upstream.requests] == ["/"]
    assert [one.failed for one in told(events, AttemptFinished)] == [False]


def test_hook_that_sends_again_leaves_the_call_as_it_ended(session, make_upstream, events):
    """A hook that answers a failed call by sending once more makes it a good one."""
    upstream = make_upstream(*[503] * 4, 200)

    def again(response, **_):
        return session.send(response.request) if response.status_code == 503 else response

    assert session.get(upstream.url, hooks={"response": again}).status_code == 200
    assert told(events, CallFinished)[-1].outcome == "success"


def test_listener_that_raises_changes_no_call(make_upstream, caplog):
    """What a listener raises is logged, and the answer is returned all the same."""

    def broken(event):
        raise RuntimeError("listener")

    with ResilientSession(on_event=broken) as session:
        assert session.get(make_upstream(200).url).status_code == 200
    assert "CallFinished" in caplog.text


def test_default_port_is_no_part_of_the_upstream(session):
    """http://host and http://host:80 are one upstream with one circuit."""
    assert [origin_of(url) for url in ("HTTP://A:80/x", "http://a/", "https://[::1]:443")] == [
        "http://a",
        "http://a",
        "https://[::1]",
    ]


def test_answer_with_two_lengths_is_the_upstreams_failure(session, events):
    """An answer whose headers contradict each other is garbage, and tried again."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def serve():
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        served = pool.submit(serve)
        with pytest.raises(requests.exceptions.InvalidHeader):
            session.get(f"http://127.0.0.1:{listener.getsockname()[1]}/", retries=1)
        served.result(10)
    assert [one.failed for one in told(events, AttemptFinished)] == [True, True]


def test_deadline_hides_no_mistake_of_the_callers(session, make_upstream, clock):
    """What the caller's own body raises is raised, however late it is."""

    def body():
        clock.advance(99)
        raise KeyError("mine")
        yield b""

    with pytest.raises(KeyError):
        session.put(make_upstream(200).url, data=body())


@pytest.mark.parametrize("body", [bytearray(b"abc"), memoryview(b"abc")])
def test_bytes_of_every_kind_are_sent_again(session, make_upstream, body):
    """A body that sending does not use up is sent whole each time."""
    upstream = make_upstream(503, 200)
    assert session.put(upstream.url, data=body).status_code == 200
    assert [one.body for one in upstream.requests] == [b"abc", b"abc"]


def test_closed_file_says_so_instead_of_sending_nothing(session, make_upstream, clock):
    """A file that somebody closed meanwhile raises, and is not sent empty."""
    body = io.BytesIO(b"abc")
    clock.sleep = lambda seconds: body.close()
    with pytest.raises(requests.exceptions.UnrewindableBodyError):
        session.put(make_upstream(503, 200).url, data=body)


def test_session_survives_pickling(make_session, make_upstream, clock):
    """In another process a session comes back with its settings, and guards its calls."""
    options = ClientOptions(retry=RetryPolicy(attempts=2, initial_delay=0), headers={"X-A": "1"})
    upstream = make_upstream(503)
    with pickle.loads(pickle.dumps(make_session(options))) as same:
        assert same.get(upstream.url).status_code == 503
    assert [one.headers["x-a"] for one in upstream.requests] == ["1", "1"]


def test_get_adapter_can_be_patched_and_put_back(session, make_upstream, clock):
    """``unittest.mock`` replaces the finder of adapters and puts it back."""
    adapter = requests_mock.Adapter()
    adapter.register_uri("GET", "http://a.invalid/", [{"status_code": 503}, {"text": "double"}])
    with mock.patch.object(session, "get_adapter", return_value=adapter):
        assert session.get("http://a.invalid/").text == "double"
    assert len(clock.slept) == 1
    assert session.get(make_upstream(200).url).text == "ok"


def test_guarded_adapter_shows_the_transports_own(session):
    """What an adapter offers beside ``send`` can still be reached."""
    adapter = session.get_adapter("http://a")
    assert adapter.max_retries.total == 0
    assert copy.copy(adapter).max_retries.total == 0


@pytest.mark.parametrize(
    "wrong", [{"retry": 3}, {"breaker": 5}, {"options": {"timeout": 3}}, {"retry": "4"}]
)
def test_policy_of_a_wrong_type_is_refused(wrong):
    """A number where a policy belongs raises at once."""
    with pytest.raises((ConfigurationError, TypeError)):
        ResilientSession(**wrong)
