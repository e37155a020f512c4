"""What users import is what is documented, and nothing more."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files

import flask_resilience


def test_all_is_what_can_be_imported():
    """``__all__`` names every public name, sorted, and nothing that is not there."""
    public = {
        name
        for name, value in vars(flask_resilience).items()
        if not name.startswith("_") and not hasattr(value, "__path__") and name != "annotations"
        if getattr(value, "__module__", "").startswith("flask_resilience")
    }
    assert set(flask_resilience.__all__) == public
    assert flask_resilience.__all__ == sorted(flask_resilience.__all__)


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
        "import logging, threading, structlog, flask_resilience;"
        "print(threading.active_count(), structlog.is_configured(), logging.getLogger().handlers)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["1", "False", "[]"]


def test_types_are_shipped():
    """The package is marked as typed, so that users' type checkers read it."""
    assert files("flask_resilience").joinpath("py.typed").is_file()
