"""What is worth another attempt: by status, by exception and by the user's word."""

from __future__ import annotations

import io

import pytest
import requests

from flask_resilience import CircuitBreakerPolicy, ConfigurationError, RetryPolicy
from flask_resilience.testing import Reply

RESET = Reply(fault="reset")
PENDING = Reply(body=b"pending")


def is_pending(response):
    """Say whether the answer asks to come again."""
    return response.text == "pending"


class OddError(Exception):
    """What only a transport of the user's own raises."""


class Odd(requests.adapters.BaseAdapter):
    """A transport that fails in its own way, three times."""

    def __init__(self, error):
        super().__init__()
        self.error, self.sent = error, 0

    def send(self, request, **kwargs):
        """Fail, or answer in the end."""
        self.sent += 1
        if self.sent < 3:
            raise self.error
        answer = requests.Response()
        answer.status_code, answer.request, answer.raw = 200, request, io.BytesIO()
        return answer

    def close(self):
        """Have nothing to close."""


def test_users_function_decides_about_an_answer(make_session, make_upstream):
    """An answer that the function asks again for is asked again, and trips no circuit."""
    breaker = CircuitBreakerPolicy(failure_threshold=1)
    session = make_session(retry=RetryPolicy(predicate=is_pending), breaker=breaker)
    upstream = make_upstream(PENDING, PENDING, Reply(body=b"done"))
    answer = session.get(upstream.url)
    assert (answer.text, answer.resilience.attempts) == ("done", 3)


def test_function_is_not_asked_about_a_status_that_is_retried(make_session, make_upstream):
    """A status of the list is worth another attempt whatever the function would say."""
    session = make_session(retry=RetryPolicy(predicate=lambda response: False))
    assert session.get(make_upstream(503, 200).url).resilience.attempts == 2


def test_answer_asked_for_in_vain_is_returned(make_session, make_upstream):
    """The last answer is returned when the attempts are used up."""
    session = make_session(retry=RetryPolicy(attempts=2, predicate=is_pending))
    report = session.get(make_upstream(PENDING).url).resilience
    assert (report.outcome, report.stop_reason) == ("exhausted", "attempts")


@pytest.mark.parametrize(("arguments", "sent"), [({}, 1), ({"idempotent": True}, 2)])
def test_function_makes_no_post_safe(make_session, make_upstream, arguments, sent):
    """A POST that acted is not sent again, whatever its answer says, unless it is idempotent."""
    session = make_session(retry=RetryPolicy(predicate=is_pending))
    upstream = make_upstream(PENDING, 200)
    session.post(upstream.url, **arguments)
    assert len(upstream.requests) == sent


def test_what_the_function_raises_is_raised(make_session, make_upstream, clock):
    """A function that fails is the caller's mistake: it is raised, and no trial stays out."""
    policy = RetryPolicy(predicate=lambda response: response.nothing)
    session = make_session(retry=policy, breaker=CircuitBreakerPolicy(failure_threshold=1))
    upstream = make_upstream(500, 200)
    session.get(upstream.url, retries=0)
    clock.advance(66)
    for _ in range(2):
        with pytest.raises(AttributeError, match="nothing"):
            session.get(upstream.url)


def test_listed_exceptions_alone_are_retried(make_session, make_upstream):
    """With a list of exceptions, a failure that is none of them is raised at once."""
    session = make_session(retry=RetryPolicy(exceptions=(requests.Timeout,)))
    upstream = make_upstream(RESET, 200)
    with pytest.raises(requests.ConnectionError) as raised:
        session.get(upstream.url)
    assert (len(upstream.requests), raised.value.resilience.stop_reason) == (1, "error")


def test_exception_of_a_transport_can_be_listed(make_session):
    """An exception that is none of requests' is retried when the policy names it."""
    session = make_session(retry=RetryPolicy(exceptions=[OddError]))
    session.mount("http://", Odd(OddError("odd")))
    assert session.get("http://a.invalid/").resilience.attempts == 3


def test_exception_nobody_named_is_raised_at_once(session):
    """An exception that is none of requests' is no failure of the upstream by itself."""
    session.mount("http://", Odd(OddError("odd")))
    with pytest.raises(OddError):
        session.get("http://a.invalid/")


def test_no_list_makes_a_mistake_worth_another_attempt(make_session, clock):
    """An invalid URL is never sent again, even if the policy names ``ValueError``."""
    session = make_session(retry=RetryPolicy(exceptions=(ValueError,)))
    with pytest.raises(requests.exceptions.InvalidHeader):
        session.get("http://127.0.0.1:9/", headers={"X-A": "a\r\nb"})
    session.mount("http://", Odd(requests.exceptions.InvalidURL("mine")))
    with pytest.raises(requests.exceptions.InvalidURL):
        session.get("http://a.invalid/")
    assert clock.slept == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("predicate", "is_pending", id="a name"),
        pytest.param("exceptions", OddError, id="no tuple"),
        pytest.param("exceptions", ("Timeout",), id="names"),
        pytest.param("exceptions", (KeyboardInterrupt,), id="what ends the thread"),
        pytest.param("budget", -0.1, id="a negative budget"),
        pytest.param("budget", "0.2", id="text"),
    ],
)
def test_wrong_value_is_named(field, value):
    """A wrong value raises an error that names field, value and rule."""
    with pytest.raises(ConfigurationError, match=rf"RetryPolicy.{field} is .*; it must be"):
        RetryPolicy(**{field: value})
