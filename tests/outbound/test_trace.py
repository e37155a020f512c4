"""Each attempt is a span, told to the upstream, to listeners and to the log."""

from __future__ import annotations

import pickle

import pytest
import requests

from flask_resilience.context import current_request
from flask_resilience.events import AttemptFinished, CallFinished, RetryScheduled
from flask_resilience.testing import Reply, record_events
from flask_resilience.trace_context import parse_traceparent

BY_HAND = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def sent(upstream):
    """Return what the upstream was told, as spans."""
    return [parse_traceparent(one.headers["traceparent"]) for one in upstream.requests]


def of(kind, events):
    """Return the spans of the events of one kind."""
    return [one.span for one in events if isinstance(one, kind)]


@pytest.fixture
def serving(make_app):
    """Return what serves one request with a function, and gives the span of serving it."""

    def serve(view, **headers):
        app, spans = make_app(log_level="DEBUG"), []

        @app.get("/")
        def index():
            spans.append(current_request().span)
            view(app.extensions["resilience"].session)
            return ""

        with record_events(app) as events:
            app.test_client().get("/", headers=headers).close()
        return spans[0], events

    return serve


def test_attempts_are_children_of_the_request(serving, make_upstream):
    """Each attempt of a call has a span of its own, whose parent is that of serving the request."""
    upstream = make_upstream(503, 200)
    server, events = serving(lambda session: session.get(upstream.url))
    spans = of(AttemptFinished, events)
    told = [(one.trace_id, one.span_id) for one in sent(upstream)]
    assert [(one.trace_id, one.span_id) for one in spans] == told
    assert [one.parent_span_id for one in spans] == [server.span_id] * 2
    assert {one.trace_id for one in spans} == {server.trace_id}
    assert len({one.span_id for one in spans} | {server.span_id}) == 3


def test_waits_and_the_end_belong_to_the_request(serving, make_upstream):
    """Only attempts are spans; what else is told of a call carries the request's."""
    upstream = make_upstream(503, 200)
    server, events = serving(lambda session: session.get(upstream.url))
    assert of(RetryScheduled, events) == of(CallFinished, events) == [server]


def test_lines_of_attempts_carry_their_span(serving, make_upstream, log_lines):
    """The attempt's line says which span the upstream was told, the others which they belong to."""
    upstream = make_upstream(503, 200)
    server, _ = serving(lambda session: session.get(upstream.url))
    lines = {one["event"]: one for one in log_lines()}
    attempt, retry = lines["http.client.attempt"], lines["http.client.retry"]
    assert attempt["span_id"] == sent(upstream)[1].span_id
    assert attempt["parent_span_id"] == retry["span_id"] == server.span_id
    assert {one["trace_id"] for one in lines.values()} == {server.trace_id}


def test_call_outside_a_request_is_a_trace(session, events, make_upstream):
    """It begins one, of which it is the first span, and its attempts the next ones."""
    upstream = make_upstream(503, 200)
    session.get(upstream.url)
    (root,) = of(CallFinished, events)
    assert of(RetryScheduled, events) == [root]
    assert root.parent_span_id is None
    assert [one.trace_id for one in sent(upstream)] == [root.trace_id] * 2
    assert [one.parent_span_id for one in of(AttemptFinished, events)] == [root.span_id] * 2


def test_two_calls_outside_a_request_are_two_traces(session, make_upstream):
    """Nothing ties them together."""
    upstream = make_upstream(200)
    session.get(upstream.url)
    session.get(upstream.url)
    assert len({one.trace_id for one in sent(upstream)}) == 2


def test_redirect_is_one_trace(session, events, make_upstream):
    """The attempt a redirect leads to is another span of the same call."""
    target = make_upstream(200)
    upstream = make_upstream(Reply(status=302, headers={"Location": target.url}))
    session.get(upstream.url)
    (first,), (second,), (root,) = sent(upstream), sent(target), of(CallFinished, events)
    assert first.trace_id == second.trace_id == root.trace_id
    assert first.span_id != second.span_id


def test_streamed_answer_has_the_span_it_was_asked_by(serving, make_upstream):
    """The attempt of a stream is told when its body ends, with the span the upstream knows."""
    upstream = make_upstream(200)
    _, events = serving(lambda session: session.get(upstream.url, stream=True).content)
    assert of(AttemptFinished, events)[0].span_id == sent(upstream)[0].span_id


def test_attempt_without_an_answer_has_a_span(session, events):
    """A connection that is refused is a span like any other."""
    with pytest.raises(requests.ConnectionError):
        session.get("http://127.0.0.1:9", retries=0)
    assert of(AttemptFinished, events)[0].parent_span_id == of(CallFinished, events)[0].span_id


@pytest.mark.parametrize("value", [BY_HAND, BY_HAND.encode()], ids=["text", "bytes"])
def test_traceparent_set_by_hand_is_left_alone(session, events, make_upstream, value):
    """Every attempt sends what the user set, nothing beside it, and its line says so."""
    upstream = make_upstream(503, 200)
    session.get(upstream.url, headers={"TraceParent": value})
    assert [one.headers["traceparent"] for one in upstream.requests] == [BY_HAND] * 2
    assert [one.traceparent for one in of(AttemptFinished, events)] == [BY_HAND] * 2
    assert [one.parent_span_id for one in of(AttemptFinished, events)] == [None] * 2


def test_child_of_the_request_set_by_hand_has_the_request_as_parent(serving, make_upstream):
    """Whoever makes spans by hand finds them joined in the log."""
    upstream = make_upstream(200)

    def call(session):
        headers = {"traceparent": current_request().span.child().traceparent}
        session.get(upstream.url, headers=headers)

    server, events = serving(call)
    assert of(AttemptFinished, events)[0].parent_span_id == server.span_id


def test_malformed_traceparent_set_by_hand_is_left_alone(session, events, make_upstream):
    """What the user set goes out, good or bad; the line has a span all the same."""
    upstream = make_upstream(200)
    session.get(upstream.url, headers={"traceparent": "mine"})
    assert upstream.requests[0].headers["traceparent"] == "mine"
    assert of(AttemptFinished, events)[0].trace_id == of(CallFinished, events)[0].trace_id


def test_state_set_by_hand_is_left_alone(serving, make_upstream):
    """A tracestate of the user's wins, and none goes along with a traceparent of the user's."""
    upstream = make_upstream(200)

    def call(session):
        session.get(upstream.url)
        session.get(upstream.url, headers={"tracestate": "mine=1"})
        session.get(upstream.url, headers={"traceparent": BY_HAND})

    serving(call, traceparent=BY_HAND, tracestate="foo=1")
    states = [one.headers.get("tracestate") for one in upstream.requests]
    assert states == ["foo=1", "mine=1", None]


def test_request_that_a_hook_sends_again_has_a_new_span(session, events, make_upstream):
    """A second try that copies the first one's headers, as that of a digest does, is told apart."""
    challenge = {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'}
    upstream = make_upstream(Reply(status=401, headers=challenge), 200)
    session.get(upstream.url, auth=requests.auth.HTTPDigestAuth("user", "password"))
    first, second = sent(upstream)
    assert first.trace_id == second.trace_id
    assert first.span_id != second.span_id
    assert {one.span_id for one in of(AttemptFinished, events)} == {first.span_id, second.span_id}


def test_request_of_an_old_answer_sent_again_is_of_the_new_trace(session, make_upstream):
    """What an earlier call has added to a request is no user's doing."""
    upstream = make_upstream(200)
    session.send(session.get(upstream.url).request)
    first, second = sent(upstream)
    assert first.trace_id != second.trace_id


def test_state_of_an_old_answer_is_not_that_of_the_new_trace(serving, session, make_upstream):
    """What other systems had to say of one trace is not said of the next."""
    upstream, answers = make_upstream(200), []
    headers = {"traceparent": BY_HAND, "tracestate": "foo=1"}
    serving(lambda own: answers.append(own.get(upstream.url)), **headers)
    session.send(answers[0].request)
    assert [one.headers.get("tracestate") for one in upstream.requests] == ["foo=1", None]


def test_users_request_is_not_changed(session, make_upstream):
    """A prepared request can be sent again, and has no header of ours."""
    prepared = requests.Request("GET", make_upstream(200).url).prepare()
    session.send(prepared)
    assert "traceparent" not in prepared.headers


def test_sent_traceparent_survives_pickling(session, make_upstream):
    """An answer with its request can go to another process, and is sent anew from there."""
    upstream = make_upstream(200)
    answer = pickle.loads(pickle.dumps(session.get(upstream.url)))
    session.send(answer.request)
    assert sent(upstream)[0].trace_id != sent(upstream)[1].trace_id
