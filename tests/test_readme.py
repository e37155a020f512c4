"""README and documentation: their code runs, and what they name exists."""

from __future__ import annotations

import ast
import io
import json
import re
import textwrap
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from contextvars import copy_context
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from flask_resilience import settings
from flask_resilience.clock import SystemClock

ROOT = Path(__file__).parent.parent
README = ROOT / "README.rst"
PAGES = [README, *sorted((ROOT / "docs").glob("*.rst"))]

EXAMPLE = "python3 -m venv .venv && .venv/bin/pip install -q tox && .venv/bin/tox run -e example"
TESTS = "python3 -m venv .venv && .venv/bin/pip install -q tox && .venv/bin/tox run -e tests"

BLOCK = re.compile(
    r"^(?P<margin> *)\.\. code-block:: (?P<language>\w+)\n(?P<code>(?: *\n|(?P=margin) +.*\n)+)",
    re.MULTILINE,
)
DIFFERS_EACH_RUN = re.compile(
    r"127\.0\.0\.1:\d+|\b[0-9a-f]{16,32}\b|\d{4}-\d\d-\d\dT[\d:.]+Z|Werkzeug/[\d.]+"
)


def blocks(page: Path, language: str) -> Iterator[tuple[int, str]]:
    """Yield how many lines stand before each code block in *language*, and its code."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        if found["language"] == language:
            yield text.count("\n", 0, found.start("code")), textwrap.dedent(found["code"])


def with_code(pages: list[Path]) -> list[Any]:
    """Return those of *pages* that hold Python code, for a table of tests."""
    return [pytest.param(page, id=page.stem) for page in pages if any(blocks(page, "python"))]


@cache
def run(page: Path) -> list[dict[str, Any]]:
    """Run the page's code from top to bottom, its tests too.

    Waits between attempts take no time, and the wall clock stands still, so that no minute of a
    limit ends between two requests. A traceback shows the line of the page.

    :return: The JSON objects it printed.
    """
    now = time.time()
    program: list[str] = []
    for before, code in blocks(page, "python"):
        program += [""] * (before - len(program)) + code.splitlines()
    names: dict[str, Any] = {"__name__": page.stem}
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as output:
        patch.setattr(SystemClock, "sleep", lambda clock, seconds: None)
        patch.setattr(time, "time", lambda: now)
        own = copy_context()  # a page may push an app's context and leave it
        own.run(exec, compile("\n".join(program), page, "exec"), names)
        for name in [name for name in names if name.startswith("test_")]:
            own.run(names[name])
    lines = output.getvalue().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects that follow each other in *text*."""
    while text := text.strip():
        found, end = json.JSONDecoder().raw_decode(text)
        yield found
        text = text[end:]


def is_shortened(shown: dict[str, Any], line: dict[str, Any]) -> bool:
    """Say whether *shown* is *line* with nothing changed but what differs from run to run."""
    return all(
        name in line and (name == "pid" or settled(line[name]) == settled(value))
        for name, value in shown.items()
    )


def settled(value: object) -> object:
    """Return a value without what differs from run to run."""
    if isinstance(value, str):
        return DIFFERS_EACH_RUN.sub("…", value)
    return "…" if isinstance(value, float) else value


@pytest.mark.parametrize("page", with_code(PAGES))
def test_code_runs(page: Path) -> None:
    """The code of a page runs as it stands, from top to bottom."""
    run(page)


@pytest.mark.parametrize("page", with_code(PAGES))
def test_shown_output_is_real(page: Path) -> None:
    """Each JSON object a page shows was printed by its code, in that order, at most shortened."""
    printed = iter(run(page))
    for _, code in blocks(page, "json"):
        for shown in objects(code):
            found = any(is_shortened(shown, line) for line in printed)
            assert found, f"Not printed, or not in this order: {shown}"


def test_readme_has_two_commands() -> None:
    """The README sets up with exactly two commands, of one line each."""
    commands = [line.strip() for line in README.read_text(encoding="utf-8").splitlines()]
    assert [line for line in commands if "venv" in line] == [EXAMPLE, TESTS]
    assert [code.strip() for _, code in blocks(README, "sh")] == [EXAMPLE, TESTS]


def test_ci_runs_the_readme_command() -> None:
    """What a submission must pass is exactly the README's test command, last, on a real Redis."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    before, _, last = script.rstrip("\n").rpartition("\n")
    assert last == TESTS
    commands = re.findall(r"^(?!#|$| )(\S+)", before, re.MULTILINE)
    assert commands == ["set", "cd", "if", "fi", "export"]
    assert "export REQUIRE_REDIS=1" in before


@pytest.mark.parametrize("page", [pytest.param(page, id=page.stem) for page in PAGES])
def test_named_settings_exist(page: Path) -> None:
    """Every key that a page names is a setting."""
    named = set(re.findall(r"RESILIENCE_([A-Z][A-Z_]*[A-Z])", page.read_text(encoding="utf-8")))
    assert {name.lower() for name in named} <= set(settings.app_fields())


def test_readme_defaults_are_true() -> None:
    """The defaults in the README's table are those of the code."""
    text = README.read_text(encoding="utf-8")
    rows = re.findall(r"^``RESILIENCE_(\w+)`` +``(.+?)`` ", text, re.MULTILINE)
    loaded = settings.load_settings({}, {}, "shop")
    fields = settings.app_fields()
    for key, shown in rows:
        default = loaded.clients if key == "CLIENTS" else fields[key.lower()].default
        assert ast.literal_eval(shown) == default, key
    assert len(rows) > 5


def test_the_house_is_complete() -> None:
    """The house that CONTRIBUTING draws has every module of the package, and no other."""
    text = (ROOT / "CONTRIBUTING.rst").read_text(encoding="utf-8")
    drawn, room = set(), ""
    for indent, name in re.findall(r"^    ( +)(\w+(?:/|\.py))(?: |$)", text, re.MULTILINE):
        if name.endswith("/"):
            room = name
        else:
            drawn.add(name if len(indent) == 2 else room + name)
    package = ROOT / "flask_resilience"
    modules = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    assert drawn == {name for name in modules if not name.endswith("/__init__.py")}
