"""What many tests share: apps, their log lines, upstreams that fail, and a clean logging set-up."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from flask import Flask
from hypothesis import settings

from flask_resilience import Resilience, configure_logging
from flask_resilience.testing import FakeClock, ScriptedUpstream

# A slow machine is no failure, and a failure must come again.
settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")

LogLines = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Undo what a test set up for the whole process."""
    level = logging.getLogger().level
    yield
    configure_logging("off")
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.getLogger().setLevel(level)


@pytest.fixture(autouse=True, scope="session")
def _state_of_tests_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what apps remember by default in a folder of this run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("STATE_DIRECTORY", raising=False)
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that only tests turn."""
    return FakeClock()


@pytest.fixture
def make_app(clock: FakeClock) -> Callable[..., Flask]:
    """Return what makes an app; keywords are settings, limits are off and circuits in memory."""

    def make(name: str = "shop", **settings: Any) -> Flask:
        app = Flask(name)
        app.config["RESILIENCE_RATE_LIMIT"] = ""
        app.config["RESILIENCE_STORAGE_URL"] = "memory://"
        for key, value in settings.items():
            app.config[f"RESILIENCE_{key.upper()}"] = value
        Resilience(clock=clock).init_app(app)
        return app

    return make


@pytest.fixture
def make_upstream() -> Iterator[Callable[..., ScriptedUpstream]]:
    """Return what starts an upstream with a script; all are ended after the test."""
    started: list[ScriptedUpstream] = []

    def make(*script: Any) -> ScriptedUpstream:
        started.append(ScriptedUpstream(*script).__enter__())
        return started[-1]

    yield make
    for upstream in started:
        upstream.__exit__(None, None, None)


@pytest.fixture
def log_lines(capsys: pytest.CaptureFixture[str]) -> LogLines:
    """Return what gives the JSON lines written since it was last asked, or those of one event."""

    def read(event: str | None = None) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [line for line in lines if event is None or line["event"] == event]

    return read
