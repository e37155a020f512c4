"""What users import is what is documented, and nothing more."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from importlib.resources import files

import pytest

import flask_resilience


def imported_for_type_checkers():
    """Return the names that a type checker sees imported, each with its module."""
    tree = ast.parse(files("flask_resilience").joinpath("__init__.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from ((one.name, f".{node.module}") for one in node.names)


def test_all_is_what_can_be_imported():
    """``__all__`` names every public name, sorted, and each is where type checkers see it."""
    assert flask_resilience.__all__ == sorted(flask_resilience.__all__)
    homes = dict(imported_for_type_checkers())
    assert sorted(homes) == flask_resilience.__all__
    for name, home in homes.items():
        found = getattr(import_module(home, "flask_resilience"), name)
        assert getattr(flask_resilience, name) is found
    assert set(flask_resilience.__all__) <= set(dir(flask_resilience))
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        _ = flask_resilience.nothing_of_ours


def test_every_public_name_is_documented():
    """Each public name and each of its public methods says what it does."""
    for name in flask_resilience.__all__:
        value = getattr(flask_resilience, name)
        assert value.__doc__, name
        for attribute, member in vars(value).items() if isinstance(value, type) else ():
            if not attribute.startswith("_") and (callable(member) or isinstance(member, property)):
                assert member.__doc__, f"{name}.{attribute}"


def test_import_starts_nothing():
    """Importing the package starts no thread and configures no logging."""
    code = (
        "from flask_resilience import *; import logging, threading, structlog;"
        "print(threading.active_count(), structlog.is_configured(), logging.getLogger().handlers)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["1", "False", "[]"]


def test_logging_alone_imports_nothing_to_patch():
    """What gevent patches is not imported by what gunicorn's configuration needs."""
    code = (
        "import sys, flask_resilience.telemetry.logging;"
        "print([one for one in ('flask', 'requests', 'urllib3') if one in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_types_are_shipped():
    """The package is marked as typed, so that users' type checkers read it."""
    assert files("flask_resilience").joinpath("py.typed").is_file()
