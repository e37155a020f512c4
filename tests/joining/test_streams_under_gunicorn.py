"""Under each kind of worker, streams and errors are told of once, by what became of them."""

from __future__ import annotations

import socket

import pytest
import requests

from tests.joining.serving import FINISH, KINDS, served

EXCEPTION = "http.server.request.exception"
APP = """
import time
from flask import Flask, Response, request
from flask_resilience import Resilience

app = Flask("served")
app.config.update(RESILIENCE_RATE_LIMIT="", RESILIENCE_STORAGE_URL="memory://")
Resilience(app)

def parts(count, pause):
    for _ in range(count):
        time.sleep(pause)
        yield b"x" * 1000

@app.get("/stream")
def stream():
    return Response(parts(3, 0.3))

@app.get("/endless")
def endless():
    return Response(parts(10_000, 0.02))

@app.get("/broken")
def broken():
    def breaking():
        yield from parts(2, 0)
        raise ValueError("a secret detail")
    return Response(breaking())

@app.get("/boom")
def boom():
    raise ValueError("a secret detail")

@app.get("/hook-of-good-answers")
@app.get("/hook-of-all-answers")
def fine():
    return "fine"

@app.after_request
def fail(response):
    always = request.path == "/hook-of-all-answers"
    if always or (request.path == "/hook-of-good-answers" and response.status_code == 200):
        raise ValueError("a secret detail")
    return response
"""


@pytest.fixture(scope="module", params=KINDS)
def server(request, tmp_path_factory):
    """Return a server whose requests have IDs of their own."""
    with served(tmp_path_factory.mktemp("served"), APP, *request.param) as server:
        yield server
        server.end()


def tracebacks(server):
    """Return how many tracebacks are in all that was written, on both streams."""
    return server.text().count("Traceback (most recent call last)")


def test_stream_is_told_of_after_its_last_byte(server):
    """Three chunks 0.3 s apart make one finish line, not before the last, with all their time."""
    with server.get("/stream", "stream", stream=True) as answer:
        chunks = answer.iter_content(1000)
        assert len(next(chunks) + next(chunks)) == 2000
        early = server.lines("stream", FINISH)
        assert len(b"".join(chunks)) == 1000
    finish = server.finish_of("stream")
    assert early == []
    assert 880 <= finish["duration_ms"] <= 2000
    assert finish["ttfb_ms"] < finish["duration_ms"] - 500
    assert (finish["outcome"], finish["http_response_body_size"]) == ("ok", 3000)


def test_stream_that_breaks_is_told_of_with_one_traceback(server):
    """A generator that raises ends its answer early, as a stream_error with its traceback."""
    before = tracebacks(server)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        server.get("/broken", "broken")
    finish = server.finish_of("broken")
    assert (finish["outcome"], finish["error_type"]) == ("stream_error", "ValueError")
    server.get("/boom", "after-broken")  # by then gunicorn has had its say of the stream
    server.finish_of("after-broken")
    assert [one["event"] for one in server.lines("broken")] == [EXCEPTION, FINISH]
    assert tracebacks(server) == before + 2


def test_client_that_leaves_is_told_of(server):
    """One that hangs up in the middle of a stream makes one finish line that says so."""
    before = tracebacks(server)
    with socket.create_connection(("127.0.0.1", server.port), 30) as connection:
        lines = ["GET /endless HTTP/1.1", "Host: a", "X-Request-ID: left", "", ""]
        connection.sendall("\r\n".join(lines).encode())
        assert connection.recv(500).startswith(b"HTTP/1.1 200")
    assert server.finish_of("left")["outcome"] == "client_disconnected"
    server.get("/boom", "after-left")  # by then gunicorn has had its say of the stream
    server.finish_of("after-left")
    assert len(server.lines("left")) == 1
    assert tracebacks(server) == before + 1


@pytest.mark.parametrize("path", ["/boom", "/hook-of-good-answers"])
def test_exception_makes_one_traceback(server, path):
    """Raised by a view or by an after_request hook, it is in all output once, with the ID."""
    before, name = tracebacks(server), path[1:]
    server.get(path, name)
    assert server.finish_of(name)["outcome"] == "server_error"
    assert [one["event"] for one in server.lines(name)] == [EXCEPTION, FINISH]
    assert "Traceback" in server.lines(name, EXCEPTION)[0]["exception_stacktrace"]
    assert tracebacks(server) == before + 1


@pytest.mark.parametrize("path", ["/boom", "/hook-of-good-answers", "/hook-of-all-answers"])
def test_answer_to_an_exception_has_the_id_and_no_text_of_it(server, path):
    """The answer is a 500 that carries the ID and says nothing of the exception."""
    answer = server.get(path, name := f"answer-{path[1:]}")
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (500, name)
    assert answer.json()["request_id"] == name
    assert not any(word in answer.text for word in ("secret", "ValueError", "Traceback"))


def test_hook_that_fails_for_the_error_too_costs_no_line(server):
    """One that raises for the 500 again, which Flask tells of, leaves one line of each kind."""
    server.get("/hook-of-all-answers", "all")
    server.finish_of("all")
    events = [one["event"] for one in server.lines("all")]
    assert [events.count(EXCEPTION), events.count(FINISH)] == [1, 1]


def test_traceback_that_the_app_does_not_log_is_gunicorns(tmp_path):
    """Where the app's own lines are off, the one that gunicorn writes has the traceback."""
    app = APP.replace('RATE_LIMIT=""', 'RATE_LIMIT="", RESILIENCE_LOG_FORMAT="off"')
    with served(tmp_path, app) as server:
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            server.get("/broken", "broken")
        server.end()
        assert tracebacks(server) == 1
        (line,) = [one for one in server.lines() if one["event"] == "Error handling request"]
    assert line["exception_type"] == "ValueError"
