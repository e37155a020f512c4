"""One JSON object a line, from whatever logger, set up once."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
from contextvars import copy_context

import pytest
import structlog
from flask import Flask

from flask_resilience import ConfigurationError, Resilience, configure_logging, get_logger
from flask_resilience.context import RequestContext, bind_request


def test_line_of_a_structlog_logger(log_lines):
    """A logged event has its own fields and those every line has."""
    configure_logging(service="shop")
    get_logger("orders").info("Test message", user_id="u1")
    (line,) = log_lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert isinstance(line.pop("pid"), int)
    assert line == {
        "level": "info",
        "event": "Test message",
        "logger": "orders",
        "service": "shop",
        "user_id": "u1",
    }


def test_line_within_a_request(log_lines):
    """While a request is served, its ID and its app's name are on every line."""
    configure_logging()

    def serve():
        bind_request(RequestContext("abc-1", "shop"))
        get_logger("orders").warning("late")
        logging.getLogger("library").warning("late, too")

    copy_context().run(serve)
    assert {(line["request_id"], line["service"]) for line in log_lines()} == {("abc-1", "shop")}


@pytest.mark.parametrize(
    "log",
    [
        pytest.param(lambda: get_logger("a").exception("failed"), id="structlog"),
        pytest.param(lambda: logging.getLogger("a").exception("failed"), id="stdlib"),
        pytest.param(lambda: get_logger("a").error("failed", exc_info=True), id="exc_info"),
    ],
)
def test_exception_has_type_message_and_traceback(log_lines, log):
    """``exception()`` gives the traceback, in fields of their own."""
    configure_logging()
    try:
        raise ValueError("told")
    except ValueError:
        log()
    (line,) = log_lines()
    assert (line["event"], line["level"], line["logger"]) == ("failed", "error", "a")
    assert (line["exception_type"], line["exception_message"]) == ("ValueError", "told")
    assert line["exception_stacktrace"].startswith("Traceback (most recent call last):")


def test_stdlib_record_has_the_same_shape(log_lines):
    """A stdlib record's message is formatted, and its ``extra`` become fields."""
    configure_logging()
    logging.getLogger("library").info("%s of %d", "one", 2, extra={"size": 3})
    (line,) = log_lines()
    assert (line["event"], line["level"], line["logger"]) == ("one of 2", "info", "library")
    assert line["size"] == 3


def test_colours_of_werkzeug_are_taken_out(log_lines):
    """Terminal colours are no part of a message."""
    configure_logging()
    logging.getLogger("werkzeug").info("\x1b[33mGET / HTTP/1.1\x1b[0m")
    assert log_lines()[0]["event"] == "GET / HTTP/1.1"


@pytest.mark.parametrize("make", [get_logger, logging.getLogger], ids=["structlog", "stdlib"])
def test_quieter_levels_are_left_out(log_lines, make):
    """Nothing below the level is written."""
    configure_logging(level="WARNING")
    logger = make("a")
    logger.info("quiet")
    logger.warning("loud")
    assert [line["event"] for line in log_lines()] == ["loud"]


def test_logger_made_before_the_setup_follows_it(log_lines):
    """A module-level logger is made at import, long before the app configures anything."""
    early = get_logger("early")
    configure_logging(level="ERROR")
    early.info("quiet")
    early.error("loud")
    assert [line["event"] for line in log_lines()] == ["loud"]


def test_app_factory_called_five_times_logs_each_event_once(log_lines):
    """However often it is set up, a line is written once."""
    apps = [Flask(f"app{number}") for number in range(5)]
    for app in apps:
        Resilience(app)
        app.add_url_rule("/", "index", lambda: "")
    logging.getLogger("library").warning("once")
    get_logger("orders").warning("once, too")
    apps[4].test_client().get("/")
    assert [line["event"] for line in log_lines()] == [
        "once",
        "once, too",
        "http.server.request.finish",
    ]


def test_users_structlog_configuration_is_left_alone(capsys):
    """What a user configured stays, and their loggers write their way."""
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer()],
        logger_factory=structlog.PrintLoggerFactory(),
    )
    Resilience(Flask("shop"))
    structlog.get_logger().info("mine")
    assert capsys.readouterr().out == "event='mine'\n"


def test_users_console_handler_is_left_alone(log_lines):
    """Where a handler already writes to the console, records are not written twice."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter('{"event": "%(message)s"}'))
    logging.getLogger().addHandler(handler)
    try:
        configure_logging()
        logging.getLogger("library").warning("once")
    finally:
        logging.getLogger().removeHandler(handler)
    assert log_lines() == [{"event": "once"}]


def test_logger_of_flask_that_was_used_early_writes_once(log_lines):
    """Flask's own handler, made by an early ``app.logger``, gives way to ours."""
    app = Flask("early")
    app.logger.warning("before")
    Resilience(app)
    app.logger.warning("after")
    assert [line["event"] for line in log_lines()] == ["after"]


def test_users_field_takes_no_core_fields_place(log_lines):
    """A user's field of a core field's name is kept under a name of its own."""
    configure_logging()
    get_logger("a").info("x", level="mine", pid="mine", service="mine")
    (line,) = log_lines()
    assert (line["level"], line["user_level"], line["user_pid"]) == ("info", "mine", "mine")


def test_secrets_are_taken_out_everywhere(log_lines):
    """No secret survives in a message, a field, a nested field or an exception."""
    configure_logging(level="DEBUG")
    url = "http://user:hunter2@host/v1?api_key=SECRET123&x=1"
    logging.getLogger("urllib3").debug("Starting %s", url)
    get_logger("a").info(
        url, url=url, password="hunter2", nested={"headers": {"Cookie": "hunter2"}}
    )
    try:
        try:
            raise ValueError(url)
        except ValueError as cause:
            raise RuntimeError(f"failed: {url}") from cause
    except RuntimeError:
        logging.getLogger("a").exception("failed")
    text = json.dumps(log_lines())
    assert "hunter2" not in text
    assert "SECRET123" not in text
    assert text.count("x=1") >= 5


def test_console_format_is_for_people(capsys):
    """``console`` writes no JSON, but everything that JSON would tell."""
    configure_logging("console")
    try:
        raise ValueError("told")
    except ValueError:
        get_logger("orders").exception("failed", user_id="u1")
    out = capsys.readouterr().out
    assert not out.startswith("{")
    assert all(text in out for text in ("failed", "u1", "Traceback", "ValueError: told"))


def test_off_writes_nothing(make_app, capsys):
    """``off`` leaves all logging alone and writes no line of ours."""
    app = make_app(log_format="off")
    app.test_client().get("/")
    assert capsys.readouterr().out == ""
    assert not structlog.is_configured()


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING"])
def test_apps_own_level_holds_for_its_own_lines(make_app, make_upstream, log_lines, level):
    """An app at DEBUG tells of good attempts; at INFO of calls; at WARNING of neither."""
    app, upstream = make_app(log_level=level), make_upstream(200)
    make_app("other", log_level="INFO")
    with app.app_context():
        Resilience().session.get(upstream.url)
    assert [line["event"] for line in log_lines()] == {
        "DEBUG": ["http.client.attempt", "http.client.finish"],
        "INFO": ["http.client.finish"],
        "WARNING": [],
    }[level]


def test_closed_standard_output_fails_no_request(make_app, monkeypatch):
    """When nothing can be written, requests are answered all the same."""

    class Full:
        def write(self, text):
            raise OSError(28, "No space left on device")

    app = make_app()
    monkeypatch.setattr(sys, "stdout", Full())
    assert app.test_client().get("/").status_code == 404


@pytest.mark.parametrize(
    "arguments", [{"format": "xml"}, {"level": "LOUD"}, {"level": "info"}, {"service": ""}]
)
def test_unknown_setup_is_refused(arguments):
    """A wrong argument raises and names itself."""
    with pytest.raises(ConfigurationError, match=f"{next(iter(arguments))} is"):
        configure_logging(**arguments)


class UnspeakableError(Exception):
    """An exception that cannot even be named."""

    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


CYCLE: dict = {}
CYCLE["itself"] = CYCLE
DEEP: list = []
for _ in range(5000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"x": CYCLE}, id="a cycle"),
        pytest.param({"x": DEEP}, id="a deep nest"),
        pytest.param({"x": 10**5000}, id="a number too long to print"),
        pytest.param({"x": float("nan")}, id="NaN"),
        pytest.param({"x": b"\xff"}, id="bytes"),
        pytest.param({"x": "\ud800"}, id="a lone surrogate"),
        pytest.param({"x": UnspeakableError()}, id="no repr"),
        pytest.param({"exc_info": UnspeakableError()}, id="an exception without text"),
        pytest.param({"exc_info": (1,)}, id="no exception"),
        pytest.param({"_origin": "spoof", "_record": 1}, id="names of our own"),
        pytest.param({"timestamp": 1, "event_": 2, "logger": 3}, id="names of core fields"),
        pytest.param({"x": {(1, 2): {3}}}, id="odd keys"),
    ],
)
def test_hostile_field_neither_raises_nor_breaks_the_line(log_lines, fields):
    """Whatever is logged makes one line of JSON with its own core fields."""
    configure_logging(service="shop")
    get_logger("a").error("hostile", **fields)
    (line,) = log_lines()
    assert (line["event"], line["level"], line["logger"]) == ("hostile", "error", "a")


def test_secret_within_an_object_is_taken_out(log_lines):
    """What becomes text only on its way to the line is searched as well."""
    configure_logging()
    error = ConnectionError("url: /x?api_key=hunter2")
    get_logger("a").warning(error)
    get_logger("a").warning("x", error=error, raw=b"password=hunter2", many={"http://u:hunter2@h/"})
    text = json.dumps(log_lines())
    assert "ConnectionError" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("name", ["stack", "exception", "exception_stacktrace"])
def test_console_takes_whatever_a_user_logs(capsys, name):
    """A field that the console shows in its own way may hold anything."""
    configure_logging("console")
    get_logger("shop").info("logged", **{name: 7})
    assert "logged" in capsys.readouterr().out


def test_console_of_few_letters_gets_every_line(monkeypatch):
    """Where standard output knows ASCII only, other letters are escaped and no line is lost."""
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    configure_logging("console")
    monkeypatch.setattr(sys, "stdout", narrow)
    get_logger("a").info("grüße")
    assert b"gr\\xfc\\xdfe" in narrow.buffer.getvalue()


def test_no_standard_output_is_no_error(monkeypatch):
    """A process without standard output, as a service on Windows, logs nowhere."""
    configure_logging()
    monkeypatch.setattr(sys, "stdout", None)
    assert get_logger("a").info("x") is None


def test_line_goes_out_at_once(monkeypatch):
    """Each line is flushed: a reader sees it while the process runs on."""
    buffered = io.TextIOWrapper(io.BufferedWriter(raw := io.BytesIO(), 8192))
    configure_logging()
    monkeypatch.setattr(sys, "stdout", buffered)
    get_logger("a").info("x")
    assert raw.getvalue().endswith(b"}\n")


def test_what_other_handlers_leave_on_a_record_is_no_field(log_lines):
    """A second handler that formats a record adds nothing to our line."""
    configure_logging()
    logger, other = logging.getLogger("two"), logging.StreamHandler(io.StringIO())
    other.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(other)
    try:
        logger.warning("hello")
    finally:
        logger.removeHandler(other)
    assert set(log_lines()[0]) == {"timestamp", "level", "event", "logger", "service", "pid"}


def test_level_of_the_users_root_is_only_lowered(tmp_path):
    """A user's file at DEBUG stays at DEBUG."""
    root, file = logging.getLogger(), logging.FileHandler(tmp_path / "all.log")
    root.setLevel(logging.DEBUG)
    root.addHandler(file)
    try:
        configure_logging(level="WARNING")
        logging.getLogger("library").debug("detail")
    finally:
        root.removeHandler(file)
        file.close()
    assert (tmp_path / "all.log").read_text() == "detail\n"


@pytest.mark.parametrize(("number", "level"), [(45, "error"), (35, "warning"), (15, "debug")])
def test_level_of_the_users_own_is_told_as_one_of_five(log_lines, number, level):
    """A level between the five is told as the one below it."""
    configure_logging(level="DEBUG")
    logging.getLogger("library").log(number, "x")
    assert log_lines()[0]["level"] == level


def test_flasks_early_handler_writes_no_second_line():
    """Outside tests, too, a logger that was used before init_app writes each record once."""
    code = (
        "import flask, flask_resilience;"
        "app = flask.Flask('early'); app.logger.warning('before');"
        "flask_resilience.Resilience(app); app.logger.warning('after')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [json.loads(line)["event"] for line in ran.stdout.splitlines()] == ["after"]
    assert "before" in ran.stderr
    assert "after" not in ran.stderr


class BrokenMapping(dict):
    """A mapping that changes while it is looked at."""

    def items(self):
        """Raise, as when another thread adds a key."""
        raise RuntimeError("dictionary changed size during iteration")


class UnspeakableNotesError(Exception):
    """An exception whose traceback cannot be formatted."""

    @property
    def __notes__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "fields", [{"x": BrokenMapping(a=1)}, {"exc_info": UnspeakableNotesError()}]
)
def test_object_that_breaks_while_it_is_told_breaks_no_line(log_lines, fields):
    """Something that raises while it is being described is told as far as it can be."""
    configure_logging()
    get_logger("a").error("hostile", **fields)
    assert log_lines()[0]["event"] == "hostile"


@pytest.mark.parametrize("level", ["INFO", "ERROR"])
def test_flask_adds_no_handler_of_its_own(level):
    """At every level and while debugging, Flask and Werkzeug find a handler and add none."""
    code = (
        "import flask, flask_resilience, sys, logging;"
        "app = flask.Flask('debugging'); app.debug = True;"
        "flask_resilience.Resilience(app, log_level=sys.argv[1]); app.logger.error('once');"
        "import werkzeug._internal as w; w._log('error', 'once, too')"
    )
    command = [sys.executable, "-c", code, level]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [json.loads(line)["event"] for line in ran.stdout.splitlines()] == ["once", "once, too"]
    assert ran.stderr == ""
