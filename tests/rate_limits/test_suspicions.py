"""What is allowed and hardly meant is told of once, by a line."""

from __future__ import annotations

import pytest
from werkzeug.middleware.proxy_fix import ProxyFix

from tests.rate_limits.asking import ask

SEVERAL = {"wsgi.multiprocess": True}
FORWARDED = {"X-Forwarded-For": "198.51.100.7"}
BY_PROXY = "forwarded_without_trusted_proxies"


@pytest.fixture
def make(make_limited):
    """Return what makes an app with one view."""

    def make(**settings):
        app = make_limited(**settings)
        app.add_url_rule("/", "index", lambda: "")
        return app

    return make


def checks(log_lines):
    """Return which suspicions were told."""
    return [line["check"] for line in log_lines("config.suspicious")]


def test_memory_with_several_processes_is_told_once(make, log_lines):
    """Each process counts for itself, which hardly anybody wants."""
    app = make(storage_url="memory://")
    for _ in range(3):
        ask(app, environ_overrides=SEVERAL)
    assert checks(log_lines) == ["memory_storage_with_several_processes"]


def test_shared_storage_with_several_processes_is_fine(make, log_lines, tmp_path):
    """A file is shared by all processes of the host."""
    ask(make(storage_url=f"sqlite:///{tmp_path}/limits.db"), environ_overrides=SEVERAL)
    assert checks(log_lines) == []


def test_memory_in_one_process_is_fine(make, log_lines):
    """With one process there is nothing to share."""
    ask(make(storage_url="memory://"))
    assert checks(log_lines) == []


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.1", "127.0.0.1", "fd00::1", ""])
@pytest.mark.parametrize("headers", [FORWARDED, {"Forwarded": "for=198.51.100.7"}])
def test_forwarding_neighbour_is_told_once(make, log_lines, address, headers):
    """A proxy nobody said to trust makes all clients one."""
    app = make()
    for _ in range(3):
        ask(app, address=address, headers=headers)
    assert checks(log_lines) == [BY_PROXY]


def test_proxy_is_noticed_after_others(make, log_lines):
    """A health check that the load balancer makes itself does not hide what comes later."""
    app = make()
    ask(app, address="10.0.0.1")
    ask(app, address="10.0.0.1", headers=FORWARDED)
    assert checks(log_lines) == [BY_PROXY]


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_forwarding_stranger_is_told_nothing_of(make, log_lines, address):
    """Anybody may send such a header from anywhere."""
    ask(make(), address=address, headers=FORWARDED)
    assert checks(log_lines) == []


def test_trusted_proxy_is_fine(make, log_lines):
    """Where proxies are trusted there is nothing to tell."""
    ask(make(trusted_proxies=1), address="10.0.0.1", headers=FORWARDED)
    assert checks(log_lines) == []


def test_neighbour_that_forwards_nothing_is_fine(make, log_lines):
    """A private address alone says nothing."""
    ask(make(), address="10.0.0.1")
    assert checks(log_lines) == []


def test_proxy_fix_is_fine(make, log_lines):
    """Werkzeug's middleware has set the address already."""
    app = make()
    app.wsgi_app = ProxyFix(app.wsgi_app)
    ask(app, address="10.0.0.1", headers=FORWARDED)
    assert checks(log_lines) == []


def test_line_names_the_settings(make, log_lines):
    """The remedy is told by the names that users know."""
    ask(make(), address="10.0.0.1", headers=FORWARDED, environ_overrides=SEVERAL)
    hints = [line["hint"] for line in log_lines("config.suspicious")]
    assert "RESILIENCE_STORAGE_URL" in hints[0]
    assert "RESILIENCE_TRUSTED_PROXIES" in hints[1]
