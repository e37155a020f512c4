"""The scheduling service as a real process, and the app before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from itertools import count
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient

from example_app.app import create_app
from example_app.processes import run_upstream

_days = count()


@pytest.fixture(scope="session")
def upstream_url() -> Iterator[str]:
    """Give the address of one scheduling service for the whole session."""
    with run_upstream() as upstream:
        yield upstream.url


@pytest.fixture
def upstream(upstream_url: str) -> str:
    """Give the address of the scheduling service, healed of what other tests told it."""
    requests.delete(f"{upstream_url}/control", timeout=5).raise_for_status()
    return upstream_url


@pytest.fixture
def tell(upstream: str) -> Callable[..., requests.Response]:
    """Give what tells the scheduling service how to fail."""

    def telling(**control: Any) -> requests.Response:
        return requests.put(f"{upstream}/control", json=control, timeout=5)

    return telling


@pytest.fixture
def requests_seen(upstream: str) -> Callable[[], int]:
    """Give what says how many requests the scheduling service has had."""

    def seen() -> int:
        return int(requests.get(f"{upstream}/control", timeout=5).json()["requests"])

    return seen


@pytest.fixture
def day() -> str:
    """Give a day on which nothing is booked yet."""
    return (date(2030, 1, 1) + timedelta(days=next(_days))).isoformat()


@pytest.fixture
def booking(day: str) -> dict[str, str]:
    """Give a booking that will be granted."""
    return {"service": "haircut", "day": day, "time": "09:00", "customer": "Ada"}


@pytest.fixture
def client(upstream: str, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """Give a client of a new app, whose circuit is closed and whose limits are unused."""
    monkeypatch.setenv("SCHEDULING_URL", upstream)
    monkeypatch.setenv("FLASK_RESILIENCE_LOG_FORMAT", "off")
    app = create_app()
    app.testing = True
    return app.test_client()
