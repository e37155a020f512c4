"""A line is written whole: short enough for where it goes, and at once."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_resilience import configure_logging, get_logger
from flask_resilience.rules import LOG_PRESET
from flask_resilience.telemetry.encoding import encode
from flask_resilience.telemetry.output import LONGEST, LONGEST_IN_PIPE
from flask_resilience.telemetry.whole_line import KEPT, fit, shorten_trace

CORE = {"timestamp": "now", "level": "error", "event": "failed", "logger": "a", "pid": 1}
TRACE = "Traceback (most recent call last):\n" + "".join(
    f'  File "app.py", line {number}, in view\n    step_{number}()\n' for number in range(500)
)
FAILING = """
import sys
from flask_resilience import configure_logging, get_logger

configure_logging()
steps = {}
for number in range(300):
    below = f"step_{number - 1}()" if number else "1 / 0"
    source = f"def step_{number}():\\n    {below}"
    exec(compile(source, f"a_module_of_the_app_{number}.py", "exec"), steps)
for number in range(int(sys.argv[1])):
    try:
        steps["step_299"]()
    except ZeroDivisionError:
        get_logger("shop").exception("failed", number=number)
"""


def piped(processes, lines):
    """Return what so many processes write into one pipe, of so many exceptions each."""
    reading, writing = os.pipe()
    command = [sys.executable, "-c", FAILING, str(lines)]
    started = [subprocess.Popen(command, stdout=writing) for _ in range(processes)]
    os.close(writing)
    with open(reading, "rb") as pipe:
        written = pipe.read()
    assert [one.wait(60) for one in started] == [0] * processes
    return written.splitlines(keepends=True)


def test_lines_of_many_processes_in_one_pipe_are_whole():
    """Of 1,600 exceptions of four processes each is one line that can be read."""
    lines = piped(4, 400)
    assert len(lines) == 1600
    assert max(map(len, lines)) <= 4096
    for line in map(json.loads, lines):
        assert line["truncated"] is True
        assert (line["event"], line["exception_message"]) == ("failed", "division by zero")
        trace = line["exception_stacktrace"]
        assert trace.startswith("Traceback (most recent call last):\n")
        assert trace.endswith("\nZeroDivisionError: division by zero\n")
        assert "a_module_of_the_app_0.py" in trace


def test_file_takes_longer_lines(tmp_path):
    """To a file goes the whole stack trace, and nothing says that it was cut."""
    with (tmp_path / "log").open("w") as log:
        subprocess.run([sys.executable, "-c", FAILING, "1"], stdout=log, check=True, timeout=60)
    (line,) = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert len(line["exception_stacktrace"]) > 15000
    assert "truncated" not in line


def test_line_is_one_write(monkeypatch, tmp_path):
    """Each line goes out in one write of its own, behind what the app printed."""
    writes = []

    class Counting(io.FileIO):
        def write(self, data):
            writes.append(bytes(data))
            return super().write(data)

    monkeypatch.setattr("flask_resilience.telemetry.output.io.FileIO", Counting)
    stream = io.TextIOWrapper(io.BufferedWriter(Counting(tmp_path / "log", "w")), "utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    with stream:
        configure_logging()
        stream.write("printed\n")
        get_logger("a").info("y")
        get_logger("a").info("x" * 30000)
    assert writes[0] == b"printed\n"
    assert [one[-1:] for one in writes] == [b"\n"] * 3
    assert [json.loads(one)["event"][0] for one in writes[1:]] == ["y", "x"]


def test_slow_reader_loses_no_line_that_fits_the_buffer(monkeypatch):
    """What a full pipe does not take now goes out with a later line."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    full = 0
    while full < 1 << 20:
        try:
            full += os.write(writing, b" " * 4096)
        except BlockingIOError:
            break
    with open(writing, "w") as stream, open(reading, "rb", buffering=0) as pipe:
        monkeypatch.setattr(sys, "stdout", stream)
        configure_logging()
        get_logger("a").info("early")
        assert pipe.read(1 << 20).strip() == b""
        get_logger("a").info("late")
        lines = pipe.read(1 << 20).splitlines()
        assert [json.loads(line)["event"] for line in lines] == ["early", "late"]


def test_secret_is_taken_out_before_the_line_is_cut(capsys):
    """A cut within a secret shows no part of it."""
    configure_logging()
    for length in range(LONGEST - 330, LONGEST - 100, 3):
        get_logger("a").info("x" * length + " http://user:hunter2hunter2@host/")
    out = capsys.readouterr().out
    assert 0 < out.count('"truncated":true') < out.count("\n")
    assert "hunter" not in out


def test_trace_is_cut_first():
    """While cutting the stack trace is enough, nothing else loses a letter."""
    fields = {
        **CORE,
        "note": "n" * 2500,
        "exception_type": "E",
        "exception_stacktrace": TRACE + "E",
    }
    line = json.loads(fit(fields, LONGEST_IN_PIPE - 1, encode))
    trace = line.pop("exception_stacktrace")
    assert line == {**CORE, "note": "n" * 2500, "exception_type": "E", "truncated": True}
    assert len(trace) > 1000


def test_other_values_are_cut_alike():
    """What is long is cut to one length, what is short stays."""
    fields = {**CORE, "a": "a" * 9000, "b": "b" * 5000, "c": "c" * 500, "n": 5}
    line = json.loads(fit(fields, LONGEST_IN_PIPE - 1, encode))
    assert (line["c"], line["n"]) == ("c" * 500, 5)
    assert abs(len(line["a"]) - len(line["b"])) <= 1
    assert line["a"].startswith("aaaa")
    assert line["a"].endswith("[...]")


def test_values_keep_their_types():
    """A list stays a list and an object an object, with what fits of them."""
    fields = {**CORE, "list": ["x" * 90] * 100, "object": {str(n): [n] * 99 for n in range(99)}}
    line = json.loads(fit(fields, LONGEST_IN_PIPE - 1, encode))
    assert 5 < len(line["list"]) < 100
    assert line["object"]["0"] == [0] * 99


def test_last_fields_are_left_out():
    """Of too many fields the first are kept, and those every line has."""
    fields = {**{f"k{number}": number for number in range(2000)}, **CORE}
    line = json.loads(fit(fields, LONGEST_IN_PIPE - 1, encode))
    assert {**CORE, "k0": 0, "k50": 50}.items() <= line.items()
    assert "k1999" not in line


def test_own_line_of_an_exception_stays_last():
    """A message of several lines, and longer than all that is left, still shows how it begins."""
    trace = TRACE + "shop.errors.OrderError: first\nsecond " + "x" * 9000
    cut = shorten_trace(trace, 1500, "OrderError")
    assert cut.startswith("Traceback (most recent call last):\n")
    last = cut[cut.index("shop.errors.OrderError: first\nsecond xxx") :]
    assert last.endswith("x[...]")
    assert "step_499()" in cut


@given(
    fields=st.dictionaries(
        st.text(max_size=300),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3000),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=50), inner),
            max_leaves=20,
        ),
        max_size=40,
    ),
    trace=st.text(alphabet=st.sampled_from('a\n"é\U0001f600'), max_size=6000),
)
def test_any_fields_fit(fields, trace):
    """Whatever the fields, the line has at most its size, and the fields that every line has."""
    fields = {**CORE, **fields, "exception_stacktrace": trace}
    line = fit(fields, 1500, encode)
    assert len(line) <= 1500
    assert KEPT & set(json.loads(line)) >= set(CORE)


@pytest.mark.parametrize("preset", LOG_PRESET.words)
def test_cut_lines_fit_in_every_preset(preset, tmp_path):
    """The names of a preset are counted, too."""
    code = FAILING.replace("logging()", f"logging(preset={preset!r})")
    command = [sys.executable, "-c", code, "1"]
    line = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout
    assert 3500 < len(line) <= 4096
    assert '"truncated":true' in line.decode()
    assert line.endswith(b"}\n")
