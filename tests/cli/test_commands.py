"""The commands as people run them: exit codes, files, pipes and terminals."""

from __future__ import annotations

import configparser
import gzip
import json
import os
import pty
import select
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from tests.cli import story
from tests.cli.conftest import COMMAND, ROOT

LARGE = 60_000
"""Lines of a log of some 25 MB."""
MOST_GROWTH = 15_000
"""Kilobytes."""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Return a log of many requests, one of which is the story's."""
    path = tmp_path_factory.mktemp("large") / "app.log"
    lines = [
        json.dumps(story.finish(1, 5.0, request_id="r%d", trace_id="%032d", user_agent="x" * 80))
    ]
    lines.append(
        json.dumps(story.attempt(1, 1, 5.0, story.FIRST, request_id="r%d", trace_id="%032d"))
    )
    with path.open("w") as log:
        for number in range(LARGE // 2):
            log.writelines(one % (number, number) + "\n" for one in lines)
            if number == LARGE // 4:
                log.write(story.encoded(story.SHOP_LINES).decode())
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["logs", "{shop}"], 0, id="logs"),
        pytest.param(["logs", "--status", "404", "{shop}"], 1, id="logs without any"),
        pytest.param(["logs", "--status", "x", "{shop}"], 2, id="no status"),
        pytest.param(["logs", "--where", "x", "{shop}"], 2, id="no condition"),
        pytest.param(["logs", "--since", "x", "{shop}"], 2, id="no time"),
        pytest.param(["logs", "--level", "loud", "{shop}"], 2, id="no level"),
        pytest.param(["logs", "--nonsense"], 2, id="unknown option"),
        pytest.param(["trace", "checkout-7", "{shop}"], 0, id="trace"),
        pytest.param(["trace", "checkout-8", "{shop}"], 1, id="trace without any"),
        pytest.param(["trace"], 2, id="trace without ID"),
        pytest.param(["stats", "{shop}"], 0, id="stats"),
        pytest.param(["stats", os.devnull], 1, id="stats without any"),
        pytest.param(["schema"], 0, id="schema"),
        pytest.param(["schema", "--preset", "unheard-of"], 2, id="unknown preset"),
        pytest.param(["nonsense"], 2, id="unknown command"),
        pytest.param(["--help"], 0, id="help"),
    ],
)
def test_exit_codes(run, shop, arguments, code):
    """0 is found, 1 is none, 2 is wrong usage."""
    done = run(*(one.format(shop=shop) for one in arguments))
    assert done.returncode == code
    assert (done.stderr == "") or code > 0


@pytest.mark.parametrize("command", [["logs"], ["trace", "checkout-7"], ["stats"]])
def test_a_missing_file(run, shop, tmp_path, command):
    """A file that is not there ends the command with one sentence, before anything is shown."""
    missing = str(tmp_path / "none.log")
    done = run(*command, shop, missing)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: There is no file {missing!r}.\n"


def test_trace(run, shop, billing):
    """The tree of a request over two services is drawn whatever file comes first."""
    assert run("trace", "checkout-7", billing, shop).stdout == story.TREE
    assert run("trace", story.TRACE_ID, shop, billing).stdout == story.TREE


def test_trace_of_one_among_several_requests_of_a_trace(run, tmp_path):
    """Other requests of the same trace that have nothing to do with it are left out."""
    beside = story.finish(90, 5.0, request_id="beside", span_id="8" * 16)
    log = story.write(tmp_path / "app.log", [*story.SHOP_LINES, *story.BILLING_LINES, beside])
    assert run("trace", "checkout-7", log).stdout == story.TREE
    assert len(run("trace", "beside", log).stdout.splitlines()) == 2
    assert len(run("trace", story.TRACE_ID, log).stdout.splitlines()) == 11


def test_trace_from_standard_input(run):
    """Standard input is read as often as it takes."""
    log = story.encoded(story.BILLING_LINES + story.SHOP_LINES)
    assert run("trace", "checkout-7", stdin=log).stdout == story.TREE
    assert run("trace", "checkout-7", "-", stdin=gzip.compress(log)).stdout == story.TREE


def test_trace_from_a_pipe_with_a_name(run, tmp_path):
    """A pipe among the files is read to its end, and as often as it takes."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    copy = [
        sys.executable,
        "-c",
        f"import sys; open({str(pipe)!r}, 'wb').write(sys.stdin.buffer.read())",
    ]
    with subprocess.Popen(copy, stdin=subprocess.PIPE) as writer:
        writer.stdin.write(story.encoded(story.BILLING_LINES + story.SHOP_LINES))
        writer.stdin.close()
        assert run("trace", "checkout-7", str(pipe)).stdout == story.TREE


def test_trace_for_machines(run, shop, billing):
    """``--json`` writes one object."""
    (request,) = json.loads(run("trace", "--json", "checkout-7", shop, billing).stdout)["requests"]
    assert request["service"] == "shop"


def test_logs_pass_through(run):
    """Without a condition every line is shown, foreign text in its place."""
    log = story.encoded([story.WAIT]) + b"Traceback:\n" + story.encoded(story.BILLING_LINES[:1])
    done = run("logs", stdin=log)
    assert [one.split()[0] for one in done.stdout.splitlines()] == [
        "2026-11-22",
        "Traceback:",
        "2026-11-22",
    ]
    assert done.stderr == ""


def test_logs_with_a_condition(run, shop, billing):
    """With conditions, lines that meet all of them are shown, and foreign text is not."""
    done = run("logs", "--upstream", "billing", "--status", "503", "--slow", "5", shop, billing)
    assert len(done.stdout.splitlines()) == 1
    assert "attempt=1" in done.stdout


def test_garbage_is_left_out_and_counted(run):
    """With a condition, lines that are no JSON are counted on standard error."""
    good = story.encoded(story.SHOP_LINES * 100)
    log = good + b"text\n\xff\xfe{\n" + b'{"event": "http.server.requ\n' + b"{nonsense}\n" + good
    for command in (["logs", "--event", "*"], ["stats"], ["trace", "checkout-7"]):
        done = run(*command, stdin=log)
        assert done.returncode == 0
        assert done.stderr.startswith("Lines that are no JSON: ")
    assert run("logs", "--event", "*", stdin=log).stderr == "Lines that are no JSON: 4.\n"


def test_logs_for_machines(run):
    """``--json`` writes the objects as they are, without prefix and without foreign text."""
    raw = story.encoded([story.WAIT])
    done = run("logs", "--json", stdin=b"text\nweb-1  | " + raw)
    assert done.stdout.encode() == raw


def test_logs_of_gzip(run, tmp_path, shop):
    """A gzipped log reads like any other."""
    path = tmp_path / "shop.log.gz"
    path.write_bytes(gzip.compress(story.encoded(story.SHOP_LINES)))
    assert run("logs", str(path)).stdout == run("logs", shop).stdout


def test_stats_for_machines(run, shop):
    """``--json`` writes the figures as one object."""
    assert json.loads(run("stats", "--json", shop).stdout)["upstreams"]["billing"]["n"] == 1


def test_schema(run):
    """The schema is JSON, of the draft it says."""
    found = json.loads(run("schema").stdout)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("command", [["logs"], ["logs", "--json"]])
def test_a_reader_that_leaves(large, command):
    """When the reader of the output leaves, the command ends without a word."""
    with started(*command, large) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def peak(*arguments):
    """Return the most memory a command took, in kilobytes."""
    code = (
        "import resource, runpy, sys\n"
        "try:\n"
        "    runpy.run_module('flask_resilience', run_name='__main__', alter_sys=True)\n"
        "finally:\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
    )
    # The shell between keeps the peak of the tests' own process out.
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@"; exit', "sh", sys.executable, "-c", code, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
        timeout=120,
        check=False,
    )
    return int(done.stderr.splitlines()[-1]) // (1024 if sys.platform == "darwin" else 1)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["logs", "--status", "5xx"], id="logs, filtered"),
        pytest.param(["logs"], id="logs"),
        pytest.param(["trace", "checkout-7"], id="trace"),
        pytest.param(["stats"], id="stats"),
    ],
)
def test_memory_is_flat(large, shop, command):
    """A large log takes little more memory than a small one."""
    assert peak(*command, large) - peak(*command, shop) < MOST_GROWTH


@contextmanager
def started(*arguments):
    """Run a command with pipes, and with the buffers Python has by itself; end it at the end."""
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONUNBUFFERED"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*COMMAND, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(descriptor, wanted, seconds=30.0):
    """Return what comes until *wanted* is in it, or nobody writes any more."""
    found, end = b"", time.monotonic() + seconds
    while wanted not in found and time.monotonic() < end:
        if select.select([descriptor], [], [], 0.2)[0]:
            try:
                data = os.read(descriptor, 65536)
            except OSError:  # the terminal is gone
                break
            if not data:
                break
            found += data
    return found


def on_terminal(*arguments, **variables):
    """Return what a command shows on a terminal."""
    mine, its = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **variables}
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=its, stderr=its, stdin=its, cwd=ROOT, env=environment
    ) as process:
        os.close(its)
        shown = read_until(mine, b"never written")
        process.wait(60)
    os.close(mine)
    return shown.decode()


@pytest.mark.parametrize("command", [["logs"], ["trace", "checkout-7"]])
def test_colours_on_a_terminal(shop, command):
    """A terminal gets colours, unless NO_COLOR says otherwise."""
    environment = {"NO_COLOR": ""}
    assert "\x1b[3" in on_terminal(*command, shop, **environment)
    assert "\x1b" not in on_terminal(*command, shop, NO_COLOR="1")


def test_a_terminal_is_not_steered(tmp_path):
    """No byte of a log reaches the terminal as a command to it."""
    evil = "\x1b]0;owned\x07\x1b[2J\x9b2J"
    path = tmp_path / "app.log"
    line = json.dumps({**story.WAIT, "reason": evil, evil: evil}, ensure_ascii=False)
    path.write_text(f"{line}\n{evil}\n", encoding="utf-8")
    log = str(path)
    for command in (["logs"], ["logs", "--json"], ["trace", "checkout-7"]):
        shown = on_terminal(*command, log, NO_COLOR="1").replace("\r\n", "")
        assert shown.isprintable(), command


def test_follow(tmp_path):
    """Lines show as they are written, over a rotation, until an interrupt ends it."""
    log = tmp_path / "app.log"
    log.write_bytes(story.encoded([story.WAIT]))
    with started("logs", "--follow", str(log)) as process:
        assert b"http.client.retry" in read_until(process.stdout.fileno(), b"\n")
        log.rename(tmp_path / "app.log.1")
        log.write_bytes(story.encoded([story.line("after", 5)]))
        assert b"after" in read_until(process.stdout.fileno(), b"\n")
        process.send_signal(2)
        assert process.wait(60) == 0


def test_what_comes_through_a_pipe_shows_at_once():
    """A line that another program writes is shown before that program ends."""
    with started("logs") as process:
        process.stdin.write(story.encoded([story.WAIT]))
        process.stdin.flush()
        assert b"http.client.retry" in read_until(process.stdout.fileno(), b"\n")
        process.stdin.close()
        assert process.wait(60) == 0


def test_flask_has_the_same_commands(tmp_path, shop):
    """The entry point of the distribution gives ``flask resilience``, without an app."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    metadata = tmp_path / "probe-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 1.0\n")
    entry = setup["options.entry_points"]["flask.commands"].strip()
    (metadata / "entry_points.txt").write_text(f"[flask.commands]\n{entry}\n")
    done = subprocess.run(
        [sys.executable, "-m", "flask", "resilience", "trace", "checkout-7", shop],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().startswith("request checkout-7")


def test_the_commands_import_little():
    """What ``flask`` loads on every call brings nothing in but click and the standard library."""
    code = (
        "import flask.cli, flask_resilience, sys\n"
        "before = set(sys.modules)\n"
        "import flask_resilience.cli.commands\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(*(new - set(sys.stdlib_module_names) - {'orjson'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "flask_resilience\n"
