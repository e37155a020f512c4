"""Under real servers: identity and logs hold over workers, threads and hostile bytes."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.servers import free_port

APP = """
from flask import Flask, Response
from flask_resilience import Resilience, current_request_id, get_logger

app = Flask("served")
resilience = Resilience(app, rate_limit="")

@app.get("/")
def index():
    get_logger("view").info("seen", private=current_request_id())
    return current_request_id()

@app.get("/stream")
def stream():
    return Response(current_request_id() + part for part in ".,")

@app.get("/boom")
def boom():
    raise ValueError("a secret detail")
"""
SERVERS = [
    pytest.param(["gunicorn", "-w", "2"], id="gunicorn, two sync workers"),
    pytest.param(["gunicorn", "-w", "2", "--threads", "4"], id="gunicorn, two threaded workers"),
    pytest.param(["flask", "--app", "served"], id="development server"),
]


def wait_until_it_listens(process, port):
    """Return when a server accepts connections; fail if it ended or takes half a minute."""
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)
    raise AssertionError("the server did not start")


@pytest.fixture(scope="module", params=SERVERS)
def server(request, tmp_path_factory):
    """Start a server, and return its port and what gives the lines it wrote."""
    folder, port = tmp_path_factory.mktemp("served"), free_port()
    (folder / "served.py").write_text(APP)
    name, *options = request.param
    if name == "gunicorn":
        options += ["--bind", f"127.0.0.1:{port}", "served:app"]
    else:
        options += ["run", "--port", str(port)]
    command = [sys.executable, "-m", name, *options]
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err)
        wait_until_it_listens(process, port)
        yield port, lambda: json_lines((folder / "out").read_text())
        process.terminate()
        process.wait(20)


def json_lines(text):
    """Return what was logged; the development server's banner is no log."""
    return [json.loads(one) for one in text.splitlines() if not one.startswith(" * ")]


def answer_to(port, *lines):
    """Send a GET with raw header lines, and return the answer's header lines."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        head = [b"GET / HTTP/1.1", b"Host: a", b"Connection: close", *lines]
        connection.sendall(b"\r\n".join(head) + b"\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return answer.split(b"\r\n\r\n")[0].split(b"\r\n")


def ids_of(answer):
    """Return the request IDs that an answer carries."""
    return [one.split(b": ")[1] for one in answer if one.lower().startswith(b"x-request-id:")]


def test_lines_of_many_requests_are_whole_and_their_own(server):
    """200 requests at once: each line is JSON, each request has one finish line and its own ID."""
    port, read_lines = server
    names = [f"many-{number}" for number in range(200)]

    def ask(name):
        path = "/stream" if name.endswith("7") else "/"
        url = f"http://127.0.0.1:{port}{path}"
        return requests.get(url, headers={"X-Request-ID": name}, timeout=20).text

    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(ask, names))
    assert [text.split(".")[0] for text in texts] == names
    lines = [line for line in read_lines() if str(line.get("request_id")).startswith("many-")]
    finished = [one["request_id"] for one in lines if one["event"] == "http.server.request.finish"]
    assert sorted(finished) == sorted(names)
    assert all(line["private"] == line["request_id"] for line in lines if line["event"] == "seen")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"x" * 8000, id="8,000 bytes"),
        pytest.param("é".encode(), id="non-ASCII"),
        pytest.param(b"a b", id="a space"),
        pytest.param(b"a,b", id="a comma"),
    ],
)
def test_malformed_id_is_replaced(server, value):
    """A hostile ID is answered by a fresh one, and the request is served."""
    answer = answer_to(server[0], b"X-Request-ID: " + value)
    (made,) = ids_of(answer)
    assert b" 200 " in answer[0]
    assert len(made) == 32
    assert value not in made


def test_repeated_id_is_replaced(server):
    """Two headers are no ID: neither is taken."""
    (made,) = ids_of(answer_to(server[0], b"X-Request-ID: one", b"X-Request-ID: two"))
    assert len(made) == 32


def test_good_id_is_echoed(server):
    """A well-formed ID comes back unchanged, once."""
    assert ids_of(answer_to(server[0], b"X-Request-ID: abc-1")) == [b"abc-1"]


def test_exception_is_told_once_and_not_shown(server):
    """A view that raises answers 500 with the ID; the log has one traceback."""
    port, read_lines = server
    answer = requests.get(
        f"http://127.0.0.1:{port}/boom", headers={"X-Request-ID": "boom-1"}, timeout=20
    )
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (500, "boom-1")
    assert "secret" not in answer.text
    events = [line["event"] for line in read_lines() if line.get("request_id") == "boom-1"]
    assert events == ["http.server.request.exception", "http.server.request.finish"]


def test_client_that_leaves_a_request_is_no_trouble(server):
    """After a client that hangs up at once the server answers the next one."""
    port, _ = server
    socket.create_connection(("127.0.0.1", port), 5).close()
    assert requests.get(f"http://127.0.0.1:{port}/", timeout=20).status_code == 200
