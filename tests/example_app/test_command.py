"""``python -m example_app``: both processes, and the demo."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import pytest
import requests

from example_app import __main__ as command
from example_app.processes import ROOT
from example_app.story import SCENES

TIME_LIMIT = 60.0
ROW = re.compile(r"^ +\d+  (\d{3}) (\S*) +\d+ +\d+  (\d+(?: - \d+)?)$", re.MULTILINE)


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end.

    :param settings: Environment variables.
    """
    return subprocess.run(
        [sys.executable, "-m", "example_app", *arguments],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Run ``serve`` on a free port; gives the process and the addresses that it tells to try."""
    with subprocess.Popen(
        [sys.executable, "-m", "example_app", "--port", "0", *arguments],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            told = "".join(takewhile(lambda line: "Ctrl-C" not in line, process.stdout))
            [app] = set(re.findall(r"curl -i (http://127\.0\.0\.1:\d+)/services", told))
            [upstream] = set(re.findall(r"curl -X PUT (http://127\.0\.0\.1:\d+)/control", told))
            yield process, app, upstream
        finally:
            process.terminate()
            process.wait(TIME_LIMIT)


def log_of(output: str) -> list[dict[str, Any]]:
    """Return the JSON lines of *output*."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


@pytest.mark.parametrize(
    "arguments", [pytest.param([], id="plain"), pytest.param(["--workers", "2"], id="gunicorn")]
)
def test_demo_comes_out_as_told(arguments: list[str]) -> None:
    """The demo plays all its scenes, and one circuit opens and closes once for all workers."""
    ended = run("demo", *arguments)
    assert (ended.returncode, ended.stderr) == (0, "")
    told = [scene for scene in SCENES if f"\n{scene.name}: {scene.tells}\n" in ended.stdout]
    assert [scene.name for scene in told] == ["healthy", "flaky", "down", "back"]
    rows = [set(re.findall(ROW, part)) for part in re.split(r"^\w+: ", ended.stdout, flags=re.M)]
    assert rows[1] == {("200", "", "1")}
    assert rows[2] == {("200", "", "1 - 2")}
    assert {row[:2] for row in rows[3]} == {("502", "NET-001"), ("503", "CIR-001")}
    assert ("503", "CIR-001", "0") in rows[3]
    assert ("200", "", "1") in rows[4]
    [requests_sent] = re.findall(r"^ +requests in all: (\d+); workers: \d$", ended.stdout, re.M)
    transitions = re.findall(r"^  (\w+) +-> (\w+) ", ended.stdout, re.MULTILINE)
    assert int(requests_sent) >= 5
    assert (transitions[0], transitions[-1]) == (("closed", "open"), ("half_open", "closed"))
    lines = log_of(ended.stdout)
    assert len({line["request_id"] for line in lines}) == 1
    assert {"http.client.retry", "http.client.finish"} < {line["event"] for line in lines}
    assert lines[-1]["event"] == "http.server.request.finish"
    assert ended.stdout.endswith("The story came out as told.\n")


def test_demo_that_comes_out_otherwise_ends_with_1() -> None:
    """A user who sees what was not told ends the demo, which names the scene and shows the log."""
    ended = run("demo", FLASK_RESILIENCE_RATE_LIMIT="3 per minute")
    assert ended.returncode == 1
    assert ended.stderr.endswith(
        "The story did not come out as told: in 'healthy' a user saw 429 LIM-001.\n"
    )
    assert '"http_response_status_code":429' in ended.stderr


def test_demo_cut_short_ends_with_130() -> None:
    """A demo that is asked to stop has not come out at all, and says so by its exit code."""
    with subprocess.Popen(
        [sys.executable, "-m", "example_app", "demo"],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("healthy: "))
        process.terminate()
        _, errors = process.communicate(timeout=TIME_LIMIT)
    assert (process.returncode, errors) == (130, "")


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        pytest.param([], signal.SIGTERM, id="plain, SIGTERM"),
        pytest.param([], signal.SIGINT, id="plain, SIGINT"),
        pytest.param(["--workers", "2"], signal.SIGTERM, id="gunicorn, SIGTERM"),
        pytest.param(["--workers", "2"], signal.SIGINT, id="gunicorn, SIGINT"),
    ],
)
def test_serve_ends_both_when_asked(arguments: list[str], number: signal.Signals) -> None:
    """A signal ends the app and the scheduling service, with 0."""
    with serving(*arguments) as (process, app, upstream):
        assert requests.get(f"{app}/services", timeout=10).status_code == 200
        process.send_signal(number)
        output, errors = process.communicate(timeout=TIME_LIMIT)
    assert (process.returncode, errors) == (0, "")
    for address in (app, upstream):
        with pytest.raises(requests.ConnectionError):
            requests.get(address, timeout=10)
    assert "services listed" in [line["event"] for line in log_of(output)]


def test_serve_ends_with_1_when_the_app_does() -> None:
    """An app that ends by itself takes the scheduling service with it, and the code tells."""
    with serving() as (process, app, upstream):
        requests.get(f"{app}/services", timeout=10)
        assert process.stdout is not None
        logged = next(line for line in process.stdout if '"services listed"' in line)
        os.kill(json.loads(logged)["pid"], signal.SIGKILL)
        _, errors = process.communicate(timeout=TIME_LIMIT)
    assert process.returncode == 1
    assert errors == "The app ended by itself, with code -9.\n"
    with pytest.raises(requests.ConnectionError):
        requests.get(upstream, timeout=10)


def test_taken_port_is_told() -> None:
    """A port that is in use is a sentence and exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run("--port", str(taken.getsockname()[1]))
    assert ended.returncode == 1
    assert ended.stderr.startswith("The example could not start: ")


def test_app_that_does_not_start_is_told() -> None:
    """An app that ends before it answers is exit code 1, after what it said itself."""
    ended = run("--port", "0", FLASK_RESILIENCE_TIMEOUT="0")
    assert ended.returncode == 1
    assert "RESILIENCE_TIMEOUT is 0" in ended.stderr
    assert "ended at once, with code 1.\n" in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["play"], id="unknown command"),
        pytest.param(["--workers", "0"], id="no workers"),
        pytest.param(["--workers", "two"], id="workers in words"),
        pytest.param(["--port", "65536"], id="no such port"),
    ],
)
def test_wrong_arguments_are_usage_errors(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be meant ends with 2 and names the argument."""
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert arguments[-1] in capsys.readouterr().err


def test_workers_without_gunicorn_are_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where gunicorn is missing, the error says how to get it."""
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as caught:
        command.main(["--workers", "2"])
    assert caught.value.code == 2
    assert "pip install gunicorn" in capsys.readouterr().err
