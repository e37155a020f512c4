"""Cookies of an app's session belong to the request that brought them."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
from flask import jsonify

from flask_resilience import Resilience
from flask_resilience.context import RequestContext, bind_request
from flask_resilience.outbound.session import AppSession
from flask_resilience.testing import Reply

SETS = Reply(headers={"Set-Cookie": "user=ann"})


@pytest.fixture
def app(make_app, make_upstream):
    """Return an app whose view calls an upstream twice, which sets a cookie."""
    app = make_app()
    upstream = make_upstream(SETS)
    resilience = Resilience()

    @app.get("/")
    def view():
        session = resilience.session
        before = dict(session.cookies)
        for _ in range(2):
            session.get(upstream.url)
        return jsonify([before, dict(session.cookies)])

    app.upstream = upstream
    return app


def test_cookies_last_for_one_request(app):
    """What an upstream sets goes along within one request, and not with the next one's calls."""
    client = app.test_client()
    for _ in range(2):
        assert client.get("/").json == [{}, {"user": "ann"}]
    sent = [one.headers.get("cookie") for one in app.upstream.requests]
    assert sent == [None, "user=ann", None, "user=ann"]


def test_cookies_of_before_do_not_come_into_a_request(app):
    """A call made outside of any request shares its cookies with none."""
    with app.app_context():
        Resilience().session.get(app.upstream.url)
        assert dict(Resilience().session.cookies) == {"user": "ann"}
    assert app.test_client().get("/").json[0] == {}


def test_threads_have_their_own(make_upstream):
    """Outside of requests each thread has its own cookies, over the same adapters."""
    upstream = make_upstream(SETS)
    seen = {}
    with AppSession() as session:
        session.get(upstream.url)
        thread = threading.Thread(target=lambda: seen.update(jar=dict(session.cookies)))
        thread.start()
        thread.join()
        assert (seen["jar"], dict(session.cookies)) == ({}, {"user": "ann"})


def test_thread_that_carries_the_context_has_its_cookies(make_upstream):
    """What serves the same request in another thread shares the request's cookies."""
    url, serving = make_upstream(SETS).url, copy_context()
    serving.run(bind_request, RequestContext("visit-1"))
    elsewhere = serving.copy()  # before any call is made
    with AppSession() as session, ThreadPoolExecutor(1) as pool:
        pool.submit(elsewhere.run, session.get, url).result()
        assert serving.run(lambda: dict(session.cookies)) == {"user": "ann"}
        assert dict(session.cookies) == {}


def test_two_sessions_share_no_cookies(make_upstream):
    """Each client of an app has its own cookies within a request."""
    with AppSession() as first, AppSession() as second:
        first.get(make_upstream(SETS).url)
        assert (dict(first.cookies), dict(second.cookies)) == ({"user": "ann"}, {})


def test_cookies_can_be_replaced():
    """``session.cookies = jar`` holds for the request, as with any session."""
    with AppSession() as session:
        jar = copy.copy(session.cookies)
        jar.set("a", "b")
        session.cookies = jar
        assert session.cookies is jar
        assert dict(pickle.loads(pickle.dumps(session)).cookies) == {"a": "b"}


def test_nothing_keeps_a_session_alive():
    """A session that nobody needs any more goes, and its cookies with it."""
    session = AppSession()
    session.cookies.set("a", "b")
    gone = weakref.ref(session)
    session.close()
    del session
    gc.collect()
    assert gone() is None
