"""Who may import whom: the walls of the house, read from the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "flask_resilience"
GROUND = {
    "call_counts",
    "clock",
    "context",
    "env_references",
    "error_catalogue",
    "errors",
    "events",
    "forks",
    "open_telemetry",
    "rules",
    "threads",
    "trace_context",
}
ROOMS = {
    "call_counts": set(),
    "clock": set(),
    "context": {"call_counts", "trace_context"},
    "env_references": {"errors", "rules"},
    "error_catalogue": set(),
    "errors": {"error_catalogue"},
    "events": {"call_counts", "trace_context"},
    "forks": set(),
    "open_telemetry": {"trace_context"},
    "rules": {"errors"},
    "threads": set(),
    "trace_context": set(),
    "policies": GROUND,
    "circuits": GROUND | {"policies"},
    "counters": GROUND | {"policies"},
    "storage": GROUND | {"policies", "circuits", "counters"},
    "outbound": GROUND | {"policies", "circuits", "storage"},
    "inbound": GROUND,
    "rate_limits": GROUND | {"policies", "counters", "inbound"},
    "telemetry": GROUND,
    "settings": GROUND | {"policies"},
    "state": GROUND
    | {
        "settings",
        "policies",
        "circuits",
        "inbound",
        "outbound",
        "rate_limits",
        "storage",
        "telemetry",
    },
    "testing": GROUND | {"state"},
    "cli": GROUND,
    "__main__": {"cli"},
    "gunicorn": {"telemetry"},
}
ONLY_IN = {
    "gunicorn": ("gunicorn.py",),
    "click": ("cli/",),
    "orjson": ("cli/record.py", "telemetry/encoding.py"),
    "flask": (
        "extension.py",
        "state.py",
        "testing.py",
        "inbound/",
        "rate_limits/",
        "telemetry/signals.py",
    ),
    "blinker": ("telemetry/signals.py",),
    "requests": ("outbound/",),
    "urllib3": ("outbound/",),
    "tenacity": ("policies/retry.py",),
    "flask_limiter": ("rate_limits/", "extension.py"),
    "limits": ("rate_limits/", "counters/limits_storage.py"),
    "structlog": ("telemetry/", "inbound/middleware.py"),
    "sqlite3": (
        "storage/sqlite_connections.py",
        "storage/sqlite_counters.py",
        "storage/sqlite_file.py",
    ),
    "redis": ("storage/redis.py", "storage/redis_server.py"),
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Yield each module's path within the package, and its syntax tree."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text())


def room_of(module: str) -> str:
    """Return the room a module belongs to."""
    return module.split("/", maxsplit=1)[0].removesuffix(".py")


def imported_rooms(module: str, tree: ast.Module) -> set[str]:
    """Return the other rooms a module imports from."""
    depth = module.count("/")
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == depth + 1:
            names = [node.module] if node.module else [one.name for one in node.names]
            found |= {name.split(".")[0] for name in names}
    return found - {room_of(module)}


def imported_packages(tree: ast.Module) -> set[str]:
    """Return the packages outside ours that a module imports from."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {one.name.split(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize(("module", "tree"), [pytest.param(*one, id=one[0]) for one in modules()])
def test_module_imports_only_what_its_room_may(module, tree):
    """A room knows only the rooms below it, and a foreign package only its own place."""
    room = room_of(module)
    if room not in ("extension", "__init__"):
        assert imported_rooms(module, tree) <= ROOMS[room]
    for package in imported_packages(tree) & set(ONLY_IN):
        assert module.startswith(ONLY_IN[package]), f"{module} imports {package}"


def test_rooms_have_no_cycle():
    """Whoever is imported imports nobody back, over any number of steps."""

    def below(room: str, seen: frozenset[str] = frozenset()) -> set[str]:
        assert room not in seen, f"{room} imports itself by way of {sorted(seen)}"
        return set().union(*(below(one, seen | {room}) for one in ROOMS[room]), ROOMS[room])

    assert all(room not in below(room) for room in ROOMS)


@pytest.mark.parametrize(("module", "tree"), [pytest.param(*one, id=one[0]) for one in modules()])
def test_no_import_hides_in_a_function(module, tree):
    """Imports stand at the top, where a reader finds them."""
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inner = [
                one for one in ast.walk(function) if isinstance(one, ast.Import | ast.ImportFrom)
            ]
            assert inner == [], f"{module}:{function.name}"


@pytest.mark.parametrize(("module", "tree"), [pytest.param(*one, id=one[0]) for one in modules()])
def test_module_and_its_functions_keep_their_size(module, tree):
    """A module stays within 300 lines, a function within 30 of code."""
    assert len((PACKAGE / module).read_text().splitlines()) <= 300
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            body = function.body[1:] if ast.get_docstring(function) else function.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= 30, f"{module}:{function.name}"
