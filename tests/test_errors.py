"""Every error carries its facts, and what the catalogue says of its code."""

from __future__ import annotations

import json
import pickle
import re

import pytest

from flask_resilience import (
    CallRejectedError,
    CircuitOpenError,
    ConfigurationError,
    DeadlineExceededError,
    ResilienceError,
    StorageError,
)
from flask_resilience.error_catalogue import CATALOGUE

ERRORS = [
    pytest.param(ResilienceError("told", a=1), "INT-001", id="any"),
    pytest.param(ConfigurationError("told", key="X"), "CFG-002", id="configuration"),
    pytest.param(ConfigurationError("told", code="CFG-001"), "CFG-001", id="unknown setting"),
    pytest.param(ConfigurationError("told", code="CFG-003"), "CFG-003", id="missing variable"),
    pytest.param(CircuitOpenError("billing", 12.0, "503"), "CIR-001", id="circuit open"),
    pytest.param(DeadlineExceededError("billing", 5.0, 2), "DLN-001", id="deadline"),
    pytest.param(StorageError("redis://host:6379/0", "refused"), "STO-001", id="storage"),
]


@pytest.mark.parametrize(("error", "code"), ERRORS)
def test_error_tells_all_as_json(error, code):
    """``to_dict`` is JSON with the code, the message and what to do."""
    told = json.loads(json.dumps(error.to_dict()))
    assert (told["code"], told["message"]) == (code, str(error))
    assert told["http_status"] == CATALOGUE[code].http_status
    assert told["documentation_url"].endswith("#" + code.lower())
    assert (told["category"], told["severity"], told["recoverable"], told["troubleshooting"]) == (
        error.category,
        error.severity,
        error.recoverable,
        error.troubleshooting,
    )


@pytest.mark.parametrize(("error", "code"), ERRORS)
def test_error_survives_pickling(error, code):
    """A copy in another process is the same error with the same facts and time."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.args, copy.to_dict()) == (str(error), error.args, error.to_dict())
    assert vars(copy) == vars(error)


def test_message_is_made_from_the_facts():
    """The sentence names upstream, time and failure, and the facts are there for machines."""
    error = CircuitOpenError("billing", 12.04, "503")
    assert str(error) == (
        "The circuit of billing is open for another 12.0 s (cause: 503); nothing was sent."
    )
    assert error.details == {"upstream": "billing", "retry_after": 12.04, "last_failure": "503"}


@pytest.mark.parametrize(("error", "code"), ERRORS)
def test_repr_names_the_class_and_the_message(error, code):
    """What a debugger shows says what happened."""
    assert repr(error) == f"{type(error).__name__}({str(error)!r})"


def test_open_circuit_is_a_rejected_call():
    """Rejections have one class that catches them all."""
    assert issubclass(CircuitOpenError, CallRejectedError)
    assert issubclass(CallRejectedError, ResilienceError)


def test_every_entry_of_the_catalogue_is_whole():
    """Each code has a form, a status, a title and the way to mend it."""
    for code, entry in CATALOGUE.items():
        assert re.fullmatch(r"[A-Z]{3}-\d{3}", code)
        assert entry.code == code
        assert 400 <= entry.http_status <= 599
        assert entry.severity in ("warning", "error", "critical")
        assert entry.category in ("configuration", "upstream", "internal", "limit", "storage")
        assert entry.title
        assert entry.detail.endswith(".")
        assert entry.troubleshooting.endswith(".")
