"""Two services, each under gunicorn: a shop whose view calls billing, which fails twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.joining.serving import Served, served

Start = Callable[..., AbstractContextManager[Served]]
BILLING = """
from flask import Flask
from flask_resilience import Resilience, get_logger

app = Flask("billing")
app.config.update(RESILIENCE_RATE_LIMIT="", RESILIENCE_STORAGE_URL="memory://")
Resilience(app)
asked = {}

@app.get("/invoices/<int:number>")
def invoice(number):
    asked[number] = asked.get(number, 0) + 1
    get_logger("billing").info("asked", time=asked[number])
    return {"number": number}, 200 if asked[number] > 2 else 503
"""
SHOP = """
import os
from flask import Flask
from flask_resilience import Resilience

app = Flask("shop")
app.config.update(
    RESILIENCE_RATE_LIMIT="",
    RESILIENCE_STORAGE_URL="memory://",
    RESILIENCE_LOG_LEVEL=os.environ["TEST_LOG_LEVEL"],
    RESILIENCE_RETRY_INITIAL_DELAY=0.02,
    RESILIENCE_RETRY_BUDGET=None,
    RESILIENCE_BREAKER_FAILURE_RATE=1.0,
    RESILIENCE_CLIENTS={"billing": {"base_url": os.environ["TEST_BILLING"]}},
)
resilience = Resilience(app)

@app.get("/orders/<int:number>")
def order(number):
    return resilience.client("billing").get(f"/invoices/{number}").json()

@app.get("/elsewhere/<path:url>")
def elsewhere(url):
    billing = resilience.client("billing")
    billing.get("/invoices/1")
    return str(billing.get(url).status_code)
"""


@pytest.fixture(scope="session")
def start_shop(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Return what serves the shop within a block, with billing at an address."""

    def start(billing: str, level: str) -> AbstractContextManager[Served]:
        environment = {"TEST_BILLING": billing, "TEST_LOG_LEVEL": level}
        return served(tmp_path_factory.mktemp("shop"), SHOP, **environment)

    return start


@pytest.fixture(scope="session")
def start_billing(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Return what serves billing within a block."""
    return lambda: served(tmp_path_factory.mktemp("billing"), BILLING)
