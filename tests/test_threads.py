"""Threads that work for a request belong to it."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from flask_resilience import Resilience, current_request_id
from flask_resilience.context import RequestContext, bind_request
from flask_resilience.threads import ContextExecutor, wrap
from flask_resilience.trace_context import parse_traceparent


@pytest.fixture
def resilience():
    """Return an extension that no app has: threads need none."""
    return Resilience()


@pytest.fixture
def in_request(make_app):
    """Return what serves one request with a function, and gives what it returned."""

    def serve(view, request_id="visit-1"):
        app = make_app()
        app.add_url_rule("/", "index", view)
        return app.test_client().get("/", headers={"X-Request-ID": request_id}).json

    return serve


def test_new_thread_knows_no_request(in_request):
    """Without help, what runs in a thread belongs to nobody."""

    def view():
        with ThreadPoolExecutor() as pool:
            return [pool.submit(current_request_id).result()]

    assert in_request(view) == [None]


def test_wrapped_function_belongs_to_the_request(in_request, resilience):
    """In another thread it runs with the context it was wrapped in."""

    def view():
        found = []
        thread = threading.Thread(
            target=resilience.wrap(lambda *given: found.append([current_request_id(), *given])),
            args=(1, 2),
        )
        thread.start()
        thread.join()
        return found

    assert in_request(view) == [["visit-1", 1, 2]]


def test_wrapped_function_runs_in_several_threads_at_once():
    """Each call has a context of its own, so that none waits for another or sees its changes."""
    both = threading.Barrier(2, timeout=20)

    def work(name):
        seen = current_request_id()
        bind_request(RequestContext(name))
        both.wait()
        return seen, current_request_id()

    wrapped = wrap(work)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(wrapped, ["one", "two"])) == [(None, "one"), (None, "two")]
    assert current_request_id() is None


def test_wrapped_function_keeps_its_name_and_its_result():
    """It looks like the one that was wrapped, and does what that does."""

    def work(number):
        """Double it."""
        return 2 * number

    wrapped = wrap(work)
    assert (wrapped.__name__, wrapped.__doc__, wrapped(number=4)) == ("work", "Double it.", 8)
    with pytest.raises(TypeError):
        wrapped("one", "two")


def test_tasks_of_an_executor_belong_to_who_submitted_them(in_request, resilience):
    """One pool may serve many requests."""
    with resilience.executor(2) as pool:

        def view():
            return [pool.submit(current_request_id).result(), *pool.map(_id_and, range(2))]

        assert in_request(view) == ["visit-1", ["visit-1", 0], ["visit-1", 1]]
        assert in_request(view, "visit-2") == ["visit-2", ["visit-2", 0], ["visit-2", 1]]
        assert pool.submit(current_request_id).result() is None


def _id_and(number):
    return current_request_id(), number


def test_executor_is_one_of_the_standard_library(resilience):
    """What takes a ``concurrent.futures.Executor`` takes it, and eight tasks run at once."""
    all_at_once = threading.Barrier(8, timeout=20)
    with resilience.executor() as pool:
        assert isinstance(pool, Executor)
        assert sorted(pool.map(lambda _: all_at_once.wait(), range(8))) == list(range(8))


def test_executor_needs_a_thread(resilience):
    """A pool of none is refused, as the standard library does."""
    with pytest.raises(ValueError, match="max_workers"):
        resilience.executor(max_workers=0)


def test_what_a_task_raises_comes_out_of_its_result():
    """An exception is handed over, not lost."""
    with ContextExecutor(1) as pool:
        assert isinstance(pool.submit(int, "x").exception(), ValueError)


def test_calls_of_threads_are_in_the_trace_and_count(make_app, make_upstream, log_lines):
    """Calls that a request's threads make carry its ID and trace, and stand on its finish line."""
    upstream, app, resilience = make_upstream(200), make_app(), Resilience()

    @app.get("/")
    def index():
        with resilience.executor() as pool:
            get = resilience.session.get
            return str([one.status_code for one in pool.map(get, [upstream.url] * 20)])

    app.test_client().get("/", headers={"X-Request-ID": "visit-1"}).close()
    (line,) = log_lines("http.server.request.finish")
    assert (line["outbound_calls"], line["outbound_attempts"]) == (20, 20)
    assert {one.headers["x-request-id"] for one in upstream.requests} == {"visit-1"}
    sent = [parse_traceparent(one.headers["traceparent"]) for one in upstream.requests]
    assert {one.trace_id for one in sent} == {line["trace_id"]}
    assert len({one.span_id for one in sent}) == 20
