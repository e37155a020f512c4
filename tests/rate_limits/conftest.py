"""Apps under limits, with a clock that only tests turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from flask_resilience import Resilience
from flask_resilience.testing import FakeClock

MakeLimited = Callable[..., Flask]


@pytest.fixture
def resilience(clock: FakeClock) -> Resilience:
    """Return an extension whose counters are in memory, unless an app says otherwise."""
    return Resilience(clock=clock)


@pytest.fixture
def make_limited(resilience: Resilience) -> MakeLimited:
    """Return what makes an app; keywords are settings, and there is no limit for all routes."""

    def make(name: str = "limited", **settings: Any) -> Flask:
        app = Flask(name)
        for key, value in {"rate_limit": "", **settings}.items():
            app.config[f"RESILIENCE_{key.upper()}"] = value
        resilience.init_app(app)
        return app

    return make
