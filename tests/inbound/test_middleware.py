"""Identity on every answer, and one finish line at the last byte."""

from __future__ import annotations

import contextlib
import io
import logging
from contextvars import ContextVar, copy_context

import pytest
import structlog
from flask import Flask, Response, abort, jsonify, redirect, request, send_file
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app
from werkzeug.wsgi import FileWrapper

from flask_resilience import RequestIDMiddleware, Resilience, current_request_id, get_logger
from flask_resilience.events import RequestFailed, RequestFinished
from flask_resilience.testing import record_events

EXCEPTION = "http.server.request.exception"


@pytest.fixture
def app(make_app):
    """Return an app with one route of each kind."""
    app = make_app()

    @app.get("/")
    def index():
        return current_request_id()

    @app.get("/item/<int:number>")
    def item(number):
        return str(number)

    @app.get("/boom")
    def boom():
        raise ValueError("a secret detail")

    @app.get("/stream")
    def stream():
        return Response(part for part in ["one", "two", "three"])

    @app.get("/broken-stream")
    def broken_stream():
        def parts():
            yield "one"
            raise ValueError("in the middle")

        return Response(parts())

    @app.get("/own-header")
    def own_header():
        response = jsonify(a=1)
        response.headers.add("x-request-id", "one")
        response.headers.add("X-Request-ID", "two")
        return response

    app.add_url_rule("/empty", "empty", lambda: ("", 204))
    app.add_url_rule("/moved", "moved", lambda: redirect("/"))
    app.add_url_rule("/large", "large", lambda: abort(413))
    app.add_url_rule("/teapot", "teapot", lambda: abort(418))
    app.add_url_rule("/file", "file", lambda: send_file(io.BytesIO(b"file"), "text/plain"))
    return app


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/", 200, id="200"),
        pytest.param("GET", "/empty", 204, id="204"),
        pytest.param("GET", "/moved", 302, id="302"),
        pytest.param("GET", "/nowhere", 404, id="404"),
        pytest.param("POST", "/", 405, id="405"),
        pytest.param("GET", "/large", 413, id="413"),
        pytest.param("GET", "/teapot", 418, id="418"),
        pytest.param("GET", "/boom", 500, id="500"),
        pytest.param("HEAD", "/", 200, id="HEAD"),
        pytest.param("OPTIONS", "/", 200, id="OPTIONS"),
        pytest.param("GET", "/stream", 200, id="stream"),
        pytest.param("GET", "/own-header", 200, id="a view that sets it"),
        pytest.param("GET", "/file", 200, id="file"),
    ],
)
def test_every_answer_carries_exactly_the_clients_id(app, method, path, status):
    """Whatever is answered, the header is there once, with the ID that was sent."""
    answer = app.test_client().open(path, method=method, headers={"X-Request-ID": "abc-1"})
    assert (answer.status_code, answer.headers.getlist("X-Request-ID")) == (status, ["abc-1"])


@pytest.mark.parametrize(
    ("method", "path", "status", "outcome"),
    [
        pytest.param("GET", "/", 200, "ok", id="ok"),
        pytest.param("GET", "/nowhere", 404, "client_error", id="not found"),
        pytest.param("GET", "/boom", 500, "server_error", id="error"),
        pytest.param("HEAD", "/", 200, "ok", id="HEAD"),
        pytest.param("GET", "/empty", 204, "ok", id="no content"),
        pytest.param("GET", "/stream", 200, "ok", id="stream"),
        pytest.param("GET", "/file", 200, "ok", id="file"),
    ],
)
def test_one_finish_line_per_request(app, log_lines, method, path, status, outcome):
    """Each request makes exactly one finish line, with its true status, outcome and ID."""
    answer = app.test_client().open(path, method=method, headers={"X-Request-ID": "abc-1"})
    size = len(answer.data)
    (line,) = log_lines("http.server.request.finish")
    assert (line["http_response_status_code"], line["outcome"]) == (status, outcome)
    assert (line["request_id"], line["http_response_body_size"]) == ("abc-1", size)


def test_finish_line_has_the_documented_fields(app, log_lines):
    """The finish line says who asked for what, and which route answered."""
    app.test_client().get("/item/7?q=secret", headers={"User-Agent": "probe"}).close()
    (line,) = log_lines("http.server.request.finish")
    differs = ("timestamp", "pid", "request_id", "trace_id", "span_id")
    assert {key: line[key] for key in line if key not in differs} == {
        "level": "info",
        "event": "http.server.request.finish",
        "logger": "flask_resilience",
        "service": "shop",
        "http_request_method": "GET",
        "url_path": "/item/7",
        "http_route": "/item/<int:number>",
        "endpoint": "item",
        "http_response_status_code": 200,
        "http_response_body_size": 1,
        "duration_ms": 0.0,
        "ttfb_ms": 0.0,
        "client_address": "127.0.0.1",
        "user_agent": "probe",
        "outcome": "ok",
    }


def test_small_answer_is_told_of_before_anybody_reads_it(app, log_lines):
    """A test that looks at the status alone finds the finish line, too."""
    answer = app.test_client().get("/")
    assert answer.status_code == 200
    assert len(log_lines("http.server.request.finish")) == 1


def test_view_sees_the_id_and_the_environment_has_it(app):
    """The ID is the same in the view's context, in the environment and in the header's key."""
    seen = {}

    @app.before_request
    def look():
        seen.update(
            environ=request.environ["flask_resilience.request_id"],
            header=request.headers["X-Request-ID"],
        )

    answer = app.test_client().get("/", headers={"X-Request-ID": "not good"})
    assert {answer.text, answer.headers["X-Request-ID"], *seen.values()} == {answer.text}
    assert len(answer.text) == 32


def test_context_is_gone_after_the_request(app):
    """What a request bound is not there for the next one, even if nobody closed the answer."""
    app.test_client().get("/stream")
    assert current_request_id() is None


def test_context_of_the_server_is_kept(make_app):
    """What a server or an outer layer bound around the app is still there within it."""
    outer = ContextVar("outer", default="lost")
    app = make_app()
    app.add_url_rule("/", "index", outer.get)

    def ask():
        outer.set("kept")
        return app.test_client().get("/").text

    assert copy_context().run(ask) == "kept"


def test_users_own_structlog_finds_the_id(make_app, capsys):
    """A user's own structlog configuration gets the ID by structlog's context variables."""
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(),
    )
    app = make_app()
    app.add_url_rule("/", "index", lambda: str(structlog.get_logger().info("mine")))
    app.test_client().get("/", headers={"X-Request-ID": "abc-1"})
    assert '{"event": "mine", "request_id": "abc-1"}' in capsys.readouterr().out


def test_stream_runs_in_its_requests_context(make_app):
    """A generator that is read after the view returned still knows its request."""
    app = make_app()

    @app.get("/")
    def index():
        return Response(current_request_id() or "" for _ in range(2))

    assert app.test_client().get("/", headers={"X-Request-ID": "abc"}).text == "abcabc"


def test_time_of_a_stream_counts_to_its_last_byte(make_app, clock, log_lines):
    """A stream that takes 0.9 s is told of once, after its last byte, with all its time."""
    app = make_app()

    @app.get("/")
    def index():
        def parts():
            for part in "abc":
                clock.advance(0.3)
                yield part

        return Response(parts())

    assert app.test_client().get("/").text == "abc"
    (line,) = log_lines("http.server.request.finish")
    assert (line["duration_ms"], line["http_response_body_size"]) == (900.0, 3)
    assert line["ttfb_ms"] < 900


def test_stream_that_breaks_is_a_stream_error(app, log_lines):
    """A generator that raises makes one traceback and one finish line of its own outcome."""
    builder = EnvironBuilder(path="/broken-stream")
    with pytest.raises(ValueError, match="in the middle"):
        run_wsgi_app(app, builder.get_environ(), buffered=True)
    lines = log_lines()
    assert [line["event"] for line in lines] == [
        "http.server.request.exception",
        "http.server.request.finish",
    ]
    assert lines[1]["outcome"] == "stream_error"


def test_client_that_leaves_is_told_of(app, log_lines):
    """A stream closed before its end is a client that has left."""
    body, _, _ = run_wsgi_app(app, EnvironBuilder(path="/stream").get_environ())
    next(iter(body))
    body.close()
    (line,) = log_lines("http.server.request.finish")
    assert line["outcome"] == "client_disconnected"


def test_unhandled_exception_makes_one_traceback(app, log_lines):
    """A view that raises makes one traceback and one finish line; the answer tells nothing."""
    answer = app.test_client().get("/boom", headers={"X-Request-ID": "abc-1"})
    lines = log_lines()
    tracebacks = [line for line in lines if "Traceback" in str(line)]
    assert [line["event"] for line in lines] == [
        "http.server.request.exception",
        "http.server.request.finish",
    ]
    assert [line["exception_type"] for line in tracebacks] == ["ValueError"]
    assert {line["request_id"] for line in lines} == {"abc-1"}
    assert answer.get_json()["request_id"] == "abc-1"
    assert "secret" not in answer.text


def test_error_that_escapes_the_app_is_answered():
    """An exception outside Flask's reach becomes a 500 that carries the ID."""
    events = []
    wrapped = RequestIDMiddleware(raising, on_event=events.append)
    answer = Client(wrapped).get("/", headers={"X-Request-ID": "abc-1"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (500, "abc-1")
    assert (answer.json["code"], answer.json["request_id"]) == ("INT-001", "abc-1")
    assert [type(one) for one in events] == [RequestFailed, RequestFinished]
    assert (events[1].status, events[1].error_type) == (500, "RuntimeError")


def raising(environ, start_response):
    """Fail as an app would that nobody guards."""
    raise RuntimeError("outside")


def test_failing_after_request_hook_keeps_the_id_and_one_traceback(app, log_lines):
    """An after_request hook that raises each time costs neither the ID nor the finish line."""

    @app.after_request
    def fail(response):
        raise RuntimeError("hook")

    answer = app.test_client().get("/", headers={"X-Request-ID": "abc-1"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (500, "abc-1")
    lines = log_lines()
    assert [line["event"] for line in lines].count("http.server.request.finish") == 1
    assert sum("exception_stacktrace" in line for line in lines) == 1
    assert {line["request_id"] for line in lines} == {"abc-1"}


def test_hook_that_fails_in_its_own_way_has_its_own_traceback(app, log_lines):
    """Of two failures of one request each is told of with where it was raised."""

    @app.after_request
    def fail(response):
        raise RuntimeError("hook")

    app.test_client().get("/boom")
    told = [line for line in log_lines() if "exception_stacktrace" in line]
    assert [line["exception_message"] for line in told] == ["a secret detail", "hook"]


def test_exception_that_is_raised_again_is_told_of_again(make_app, log_lines):
    """One object raised in two requests is shown whole in both."""
    app, error = make_app(), ValueError("the same")

    @app.get("/")
    def view():
        raise error

    for _ in range(2):
        app.test_client().get("/")
    assert ["exception_stacktrace" in line for line in log_lines(EXCEPTION)] == [True, True]


def test_debuggers_and_tests_get_the_exception(app):
    """While TESTING, an exception reaches the caller as Flask promises."""
    app.testing = True
    with pytest.raises(ValueError, match="a secret detail"):
        app.test_client().get("/boom")


def test_app_that_logs_exceptions_itself_is_left_alone(make_app, log_lines):
    """A subclass of Flask with its own ``log_exception`` keeps it."""
    seen = []

    class Reporting(Flask):
        def log_exception(self, exc_info):
            seen.append(exc_info[0])

    app = Reporting("reporting")
    Resilience(app)
    app.add_url_rule("/", "boom", lambda: 1 / 0)
    app.test_client().get("/")
    assert seen == [ZeroDivisionError]
    assert "http.server.request.exception" not in [line["event"] for line in log_lines()]


def test_any_wsgi_app_can_be_wrapped():
    """Without Flask the middleware gives identity and events just the same."""
    events = []

    def plain(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield (current_request_id() or "").encode()

    wrapped = RequestIDMiddleware(plain, on_event=events.append)
    answer = Client(wrapped).get("/x", headers={"X-Request-ID": "abc"})
    assert (answer.text, answer.headers["X-Request-ID"]) == ("abc", "abc")
    (finish,) = events
    assert isinstance(finish, RequestFinished)
    assert (finish.path, finish.route, finish.status, finish.outcome) == ("/x", None, 200, "ok")


def test_imperative_write_is_counted():
    """Bytes that an old app writes imperatively count, too."""
    events = []

    def old(environ, start_response):
        write = start_response("200 OK", [])
        write(b"four")
        return [b"more"]

    answer = Client(RequestIDMiddleware(old, on_event=events.append)).get("/")
    assert answer.data == b"fourmore"
    assert events[0].body_size == 8


def test_servers_file_wrapper_passes_as_it_is():
    """A body of the server's own file class stays one, so that sendfile still works."""
    events, closed = [], []

    class Wrapper:
        def __iter__(self):
            return iter([b"file"])

        def close(self):
            closed.append(True)

    def app(environ, start_response):
        start_response("200 OK", [])
        return Wrapper()

    environ = EnvironBuilder().get_environ() | {"wsgi.file_wrapper": Wrapper}
    body = RequestIDMiddleware(app, on_event=events.append)(environ, lambda *_: None)
    assert type(body) is Wrapper
    assert events == []
    body.close()
    assert (closed, [type(one) for one in events]) == ([True], [RequestFinished])


def test_header_of_another_name(make_app):
    """REQUEST_ID_HEADER changes what is read and answered."""
    app = make_app(request_id_header="X-Correlation-ID")
    answer = app.test_client().get("/", headers={"X-Correlation-ID": "abc"})
    assert answer.headers["X-Correlation-ID"] == "abc"
    assert "X-Request-ID" not in answer.headers


def test_listener_that_raises_changes_nothing(app, caplog):
    """A listener's exception is logged; the request and the other listeners do not notice."""

    def broken(event):
        raise RuntimeError("listener")

    heard = []
    dispatcher = app.extensions["resilience"].on_event
    listening = dispatcher.listening(broken), dispatcher.listening(heard.append)
    with listening[0], listening[1], caplog.at_level(logging.ERROR):
        assert app.test_client().get("/").status_code == 200
    assert [type(one) for one in heard] == [RequestFinished]
    assert "RequestFinished" in caplog.text


def test_failure_is_an_event_of_its_own(app):
    """An unhandled exception is told of as it is, before the finish."""
    with record_events(app) as events:
        app.test_client().get("/boom")
    assert [type(one) for one in events] == [RequestFailed, RequestFinished]
    assert str(events[0].error) == "a secret detail"


def test_views_lines_carry_the_id(make_app, log_lines):
    """What a view logs, by structlog or stdlib, carries the ID of its request."""
    app = make_app()

    @app.get("/")
    def index():
        get_logger("view").info("Test message", user_id="u1")
        logging.getLogger("library").warning("from a library")
        app.logger.warning("from Flask's logger")
        return ""

    app.test_client().get("/", headers={"X-Request-ID": "abc-1"})
    lines = log_lines()
    assert [line["event"] for line in lines] == [
        "Test message",
        "from a library",
        "from Flask's logger",
        "http.server.request.finish",
    ]
    assert {line["request_id"] for line in lines} == {"abc-1"}


def test_orderly_exit_leaves_no_traceback():
    """A worker that ends as it should tells of the request it drops, and of no exception."""
    events = []

    def leaving(environ, start_response):
        raise SystemExit(0)

    with pytest.raises(SystemExit):
        Client(RequestIDMiddleware(leaving, on_event=events.append)).get("/")
    assert [type(one) for one in events] == [RequestFinished]


@pytest.mark.parametrize("path", ["/big", "/file"])
def test_client_that_breaks_off_while_being_sent_to_is_told_of(app, log_lines, path):
    """When the server cannot send what it was handed, the client has left, whatever was handed."""
    app.add_url_rule("/big", "big", lambda: b"x" * 100_000)
    environ = EnvironBuilder(path=path).get_environ() | {"wsgi.file_wrapper": FileWrapper}
    body = app(environ, lambda *_: None)
    with contextlib.suppress(BrokenPipeError):
        try:
            next(iter(body))
            raise BrokenPipeError
        finally:
            body.close()
    (line,) = log_lines("http.server.request.finish")
    assert line["outcome"] == "client_disconnected"


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_request_that_is_cut_off_by_the_server_is_told_of(error):
    """A worker told to exit while a request hangs leaves its traceback and its finish line."""
    events = []

    def hanging(environ, start_response):
        raise error

    wrapped = RequestIDMiddleware(hanging, on_event=events.append)
    with pytest.raises(type(error)):
        Client(wrapped).get("/")
    assert [type(one) for one in events] == [RequestFailed, RequestFinished]
    assert (events[1].status, events[1].outcome) == (500, "server_error")


def test_app_that_fails_after_it_began_is_told_of():
    """When headers may have gone, the server gets the exception, and the finish is told."""
    events = []

    def begins(environ, start_response):
        start_response("200 OK", [])(b"x")
        raise RuntimeError("later")

    with pytest.raises(RuntimeError, match="later"):
        Client(RequestIDMiddleware(begins, on_event=events.append)).get("/")
    assert [type(one) for one in events] == [RequestFailed, RequestFinished]


@pytest.mark.parametrize(
    "prepare",
    [
        pytest.param(lambda app: setattr(app, "testing", True), id="testing"),
        pytest.param(lambda app: setattr(app, "debug", True), id="debugging"),
        pytest.param(lambda app: app.config.update(PROPAGATE_EXCEPTIONS=True), id="asked for"),
    ],
)
def test_propagated_exception_is_told_of(app, log_lines, prepare):
    """An exception that goes on to a debugger or a test has its two lines all the same."""
    prepare(app)
    with pytest.raises(ValueError, match="a secret detail"):
        app.test_client().get("/boom")
    assert [line["event"] for line in log_lines()] == [
        "http.server.request.exception",
        "http.server.request.finish",
    ]


def test_path_is_told_as_the_client_meant_it(app, log_lines):
    """A path beyond ASCII is told in its own letters."""
    app.test_client().get("/grüße").close()
    assert log_lines("http.server.request.finish")[0]["url_path"] == "/grüße"


def test_file_sent_by_the_server_has_the_size_it_announced():
    """Where the server sends the file itself, the size is the one that was announced."""
    events = []

    class Wrapper:
        def close(self):
            """Close nothing."""

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "30000000")])
        return Wrapper()

    environ = EnvironBuilder().get_environ() | {"wsgi.file_wrapper": Wrapper}
    RequestIDMiddleware(app, on_event=events.append)(environ, lambda *_: None).close()
    assert events[0].body_size == 30_000_000


def test_listener_of_a_bare_middleware_may_raise(caplog):
    """Without an app, too, what a listener raises is logged and changes nothing."""

    def broken(event):
        raise RuntimeError("listener")

    def plain(environ, start_response):
        start_response("200 OK", [])
        return [b"ok"]

    assert Client(RequestIDMiddleware(plain, on_event=broken)).get("/").text == "ok"
    assert "RequestFinished" in caplog.text


def test_large_last_chunk_is_told_of_once_it_has_gone(app, log_lines):
    """A large answer ends when the server has sent it, not when it was handed over."""
    app.add_url_rule("/big", "big", lambda: b"x" * 100_000)
    body, _, _ = run_wsgi_app(app, EnvironBuilder(path="/big").get_environ())
    next(iter(body))
    assert log_lines("http.server.request.finish") == []
    body.close()
    (line,) = log_lines("http.server.request.finish")
    assert (line["outcome"], line["http_response_body_size"]) == ("ok", 100_000)


def test_close_runs_in_the_requests_context(make_app):
    """What runs when an answer is closed still knows its request."""
    app, seen = make_app(), []

    @app.get("/")
    def index():
        response = Response("ok")
        response.call_on_close(lambda: seen.append(current_request_id()))
        return response

    app.test_client().get("/", headers={"X-Request-ID": "abc"}, buffered=True).close()
    assert seen == ["abc"]
