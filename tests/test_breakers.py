"""An app's circuit breakers: which one code gets, by which policy, and where its circuit lives."""

from __future__ import annotations

import sys

import pytest
from flask import Flask

from flask_resilience import CircuitOpenError, ConfigurationError, Resilience
from flask_resilience.telemetry.signals import circuit_changed

resilience = Resilience()


@resilience.breaker("ledger")
def post_entry(error=None):
    """Be guarded by the breaker of whichever app is serving."""
    if error is not None:
        raise error
    return "posted"


def fail(times):
    """Let the guarded function fail so often."""
    for _ in range(times):
        with pytest.raises(OSError, match="down"):
            post_entry(OSError("down"))


def test_decorated_function_belongs_to_the_app_that_serves(make_app):
    """Made before any app, a breaker opens in the one app and stays closed in the other."""
    one, two = make_app("one"), make_app("two")
    with one.app_context():
        fail(5)
        with pytest.raises(CircuitOpenError):
            post_entry()
    with two.app_context():
        assert post_entry() == "posted"


def test_breaker_outside_an_app_says_what_is_missing():
    """Where no app is serving, using it says so."""
    with pytest.raises(RuntimeError, match="application context"):
        post_entry()


def test_breaker_made_in_a_context_stays_with_its_app(make_app):
    """A thread without a context may use what was made within one."""
    with make_app().app_context():
        breaker = resilience.breaker("ledger")
    assert breaker.call(lambda: 5) == 5
    assert breaker.state == "closed"


def test_breaker_of_a_clients_name_shares_its_circuit_and_policy(make_app, make_upstream):
    """What a client's calls did to its upstream holds for code that asks by its name."""
    upstream = make_upstream(500)
    client = {"base_url": upstream.url, "breaker": {"failure_threshold": 2}, "timeout": 7}
    with make_app(clients={"ledger": client}).app_context():
        for _ in range(2):
            resilience.client("ledger").get("/", retries=0)
        with pytest.raises(CircuitOpenError):
            post_entry()
        told = resilience.breaker("ledger").snapshot()
    assert (told["failure_threshold"], told["failure_count"]) == (2, 2)


def test_timeout_of_a_client_bounds_the_trials_of_its_breaker(make_app, make_upstream):
    """Whoever asks first, a client's breaker has the client's timeout."""
    upstream = make_upstream(200)
    with make_app(clients={"ledger": {"base_url": upstream.url, "timeout": 7}}).app_context():
        resilience.client("ledger").get("/")
        assert resilience.breaker("ledger")._find().timeout == 7  # noqa: SLF001


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("", {}, id="no name"),
        pytest.param("a\nb", {}, id="two lines"),
        pytest.param(5, {}, id="a number"),
        pytest.param("a", {"ignore": KeyError}, id="no tuple"),
        pytest.param("a", {"ignore": ("KeyError",)}, id="no class"),
        pytest.param("a", {"timeout": 0}, id="no time"),
    ],
)
def test_wrong_argument_is_named(name, options):
    """A wrong name, time or list of exceptions raises with what it must be."""
    with pytest.raises(ConfigurationError, match="; it must be "):
        resilience.breaker(name, **options)


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        pytest.param({}, "sqlite", id="by default a file"),
        pytest.param({"TESTING": True}, "memory", id="in tests memory"),
        pytest.param({"DEBUG": True}, "memory", id="in debugging memory"),
        pytest.param({"RESILIENCE_STORAGE_URL": "memory://"}, "memory", id="memory as told"),
        pytest.param(
            {"TESTING": True, "RESILIENCE_STORAGE_URL": "sqlite:///{folder}/a.db"},
            "sqlite",
            id="a file as told, in tests too",
        ),
        pytest.param(
            {"RESILIENCE_STORAGE_URL": "redis://127.0.0.1:1"}, "redis", id="redis as told"
        ),
    ],
)
def test_storage_follows_the_settings(config, kind, tmp_path):
    """Where circuits live is what was set, or else a file; memory while testing or debugging."""
    app = Flask("shop")
    for key, value in config.items():
        app.config[key] = value.format(folder=tmp_path) if isinstance(value, str) else value
    Resilience(app)
    with app.app_context():
        assert resilience.breaker("x")._find().circuit.storage.name == kind  # noqa: SLF001


def test_clock_of_tests_keeps_workers_files_out_of_it(clock):
    """An app on a clock of its own has circuits of its own."""
    app = Flask("shop")
    Resilience(app, clock=clock)
    with app.app_context():
        assert resilience.breaker("x")._find().circuit.storage.name == "memory"  # noqa: SLF001


def test_testing_may_be_set_after_init_app():
    """The choice is made at first use, so that a fixture may still say that it is a test."""
    app = Flask("shop")
    Resilience(app)
    app.config["TESTING"] = True
    with app.app_context():
        assert resilience.breaker("x")._find().circuit.storage.name == "memory"  # noqa: SLF001


def test_init_app_writes_and_connects_to_nothing(tmp_path, monkeypatch):
    """Before the first call there is no file."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    app = Flask("shop")
    Resilience(app)
    assert list(tmp_path.iterdir()) == []
    with app.app_context():
        resilience.breaker("x").call(int)
    (file,) = tmp_path.glob("flask-resilience/shop-*.sqlite3")
    assert file.stat().st_mode & 0o777 == 0o600


def test_apps_with_one_name_in_two_folders_share_nothing(tmp_path):
    """Two apps that are both called "app" by chance have files of their own; a namespace joins."""
    apps = []
    for folder, namespace in (("a", None), ("b", None), ("a", "both"), ("b", "both")):
        (tmp_path / folder).mkdir(exist_ok=True)
        app = Flask("app", root_path=str(tmp_path / folder))
        app.config["RESILIENCE_NAMESPACE"] = namespace
        Resilience(app)
        apps.append(app)
    addresses = []
    for app in apps:
        with app.app_context():
            addresses.append(resilience.breaker("x")._find().circuit.storage.address)  # noqa: SLF001
    assert len(set(addresses)) == 3
    assert addresses[2] == addresses[3]


@pytest.mark.parametrize("url", ["redis://127.0.0.1/0", "valkey+sentinel://127.0.0.1/mymaster"])
def test_redis_without_its_package_is_refused_at_once(url, monkeypatch):
    """``init_app`` names the setting and the extra, in one sentence."""
    monkeypatch.delitem(sys.modules, "flask_resilience.storage.redis", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    app = Flask("shop")
    app.config["RESILIENCE_STORAGE_URL"] = url
    with pytest.raises(ConfigurationError, match=r"STORAGE_URL .*flask-resilience\[redis\]"):
        Resilience(app)


def test_circuit_outlives_the_app(tmp_path):
    """An app that starts while a circuit is open rejects its first call."""
    told = []
    for _ in range(2):
        app = Flask("shop")
        app.config["RESILIENCE_STORAGE_URL"] = f"sqlite:///{tmp_path}/circuits.db"
        Resilience(app)
        circuit_changed.connect(lambda app, event: told.append(event), sender=app, weak=False)
        with app.app_context():
            if not told:
                fail(5)
            with pytest.raises(CircuitOpenError):
                post_entry()
    assert [one.to_state for one in told] == ["open"]
