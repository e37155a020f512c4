"""Settings are read once, checked whole, and wrong ones named."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re

import pytest
from flask import Flask

from flask_resilience import ClientOptions, ConfigurationError, Resilience
from flask_resilience.env_references import expand
from flask_resilience.settings import app_fields, load_settings
from flask_resilience.testing import ScriptedUpstream


def load(defaults=None, **config):
    """Return the settings that ``RESILIENCE_*`` keys ask for."""
    keys = {f"RESILIENCE_{name.upper()}": value for name, value in config.items()}
    return load_settings(keys, defaults or {}, "shop")


def test_defaults_are_those_of_the_surface():
    """An app that sets nothing gets the documented values."""
    settings = load()
    assert (settings.service_name, settings.request_id_header) == ("shop", "X-Request-ID")
    assert (settings.log_format, settings.log_level) == ("json", "INFO")
    assert settings.rate_limit == "10 per minute;100 per hour"
    assert settings.rate_limit_strategy == "sliding-window-counter"
    assert (settings.handle_errors, settings.storage_url, settings.clients) == (True, None, {})
    call = settings.call
    assert (call.timeout, call.connect_timeout, call.deadline) == (15, 3, 25)
    assert call.raise_for_status is False
    retry, breaker = call.retry, call.breaker
    assert (retry.attempts, retry.backoff, retry.jitter) == (4, "exponential", "proportional")
    assert (retry.initial_delay, retry.multiplier, retry.increment, retry.max_delay) == (1, 2, 1, 8)
    assert retry.statuses == {408, 429, 500, 502, 503, 504}
    assert (retry.unsafe, retry.after_max) == ("pushback", 30)
    assert (breaker.failure_threshold, breaker.recovery_timeout) == (5, 60)
    assert (breaker.success_threshold, breaker.trials) == (1, 1)


def test_config_overrides_constructor_keywords():
    """A keyword is a default that ``app.config`` overrides."""
    settings = load({"retry_attempts": 2, "timeout": 7}, retry_attempts=3)
    assert (settings.call.retry.attempts, settings.call.timeout) == (3, 7)


def test_environment_with_flasks_prefix_works(monkeypatch):
    """``from_prefixed_env`` brings keys in, nested ones too."""
    monkeypatch.setenv("FLASK_RESILIENCE_RETRY_ATTEMPTS", "2")
    monkeypatch.setenv("FLASK_RESILIENCE_RETRY_STATUSES", "[503]")
    monkeypatch.setenv("FLASK_RESILIENCE_RATE_LIMIT", "5 per minute")
    monkeypatch.setenv("FLASK_RESILIENCE_CLIENTS__billing__base_url", "https://billing.example")
    app = Flask("shop")
    app.config.from_prefixed_env()
    Resilience().init_app(app)
    settings = app.extensions["resilience"].settings
    assert settings.call.retry.attempts == 2
    assert settings.call.retry.statuses == {503}
    assert settings.rate_limit == "5 per minute"
    assert settings.clients["billing"].base_url == "https://billing.example"


def test_settings_are_frozen():
    """Nothing changes a setting after it was checked."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().log_level = "DEBUG"


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        pytest.param("retry_attempt", "RESILIENCE_RETRY_ATTEMPTS", id="a missing letter"),
        pytest.param("tiemout", "RESILIENCE_TIMEOUT", id="swapped letters"),
        pytest.param("failure_threshold", "RESILIENCE_BREAKER_FAILURE_THRESHOLD", id="no prefix"),
        pytest.param("base_url", "RESILIENCE_", id="a client's setting"),
    ],
)
def test_unknown_key_names_the_nearest(key, nearest):
    """An unknown key raises with its name and the nearest known one."""
    with pytest.raises(ConfigurationError, match=f"RESILIENCE_{key.upper()} .*{nearest}") as raised:
        load(**{key: 1})
    assert raised.value.code == "CFG-001"


def test_unknown_constructor_keyword_is_named():
    """A mistyped keyword is no silent nothing either."""
    with pytest.raises(ConfigurationError, match="RESILIENCE_RETRIES"):
        Resilience(Flask("shop"), retries=3)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("timeout", 0, id="no time"),
        pytest.param("timeout", -1, id="negative time"),
        pytest.param("timeout", "15", id="number as text"),
        pytest.param("timeout", True, id="a bool for a number"),
        pytest.param("deadline", float("inf"), id="infinite"),
        pytest.param("deadline", 10**400, id="beyond any float"),
        pytest.param("deadline", None, id="none where a number is needed"),
        pytest.param("retry_attempts", 0, id="no attempt"),
        pytest.param("retry_attempts", 1.5, id="a fraction"),
        pytest.param("retry_statuses", "503", id="text for a list"),
        pytest.param("retry_statuses", [503, "504"], id="text in a list"),
        pytest.param("retry_unsafe", True, id="a bool for a word"),
        pytest.param("breaker_failure_threshold", 0, id="no failures"),
        pytest.param("breaker_failure_rate", 0, id="no share"),
        pytest.param("breaker_failure_rate", 1.5, id="more than all"),
        pytest.param("breaker_window", 0, id="no window"),
        pytest.param("breaker_minimum_calls", 0, id="no calls"),
        pytest.param("breaker_mode", "off", id="unknown mode"),
        pytest.param("namespace", "", id="no namespace"),
        pytest.param("log_level", "info", id="lower case"),
        pytest.param("log_format", "xml", id="unknown format"),
        pytest.param("rate_limit", None, id="none for text"),
        pytest.param("rate_limit_strategy", "leaky-bucket", id="unknown strategy"),
        pytest.param("request_id_header", "X Request", id="a space in a header"),
        pytest.param("storage_url", "mysql://localhost", id="a storage there is not"),
        pytest.param("handle_errors", 1, id="a number for a flag"),
        pytest.param("clients", [], id="a list of clients"),
        pytest.param("clients", {"a": "http://a"}, id="a client that is text"),
    ],
)
def test_wrong_value_names_key_value_and_range(key, value):
    """A wrong value raises with its key, itself and what it must be."""
    with pytest.raises(ConfigurationError) as raised:
        load(**{key: value})
    assert str(raised.value).startswith(f"RESILIENCE_{key.upper()} is ")
    assert "; it must be " in str(raised.value)
    assert raised.value.code == "CFG-002"


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        pytest.param({"timeout": 10, "deadline": 5}, ("TIMEOUT", "DEADLINE"), id="deadline"),
        pytest.param({"timeout": 60}, ("TIMEOUT", "DEADLINE"), id="the default deadline"),
        pytest.param(
            {"breaker_trials": 3},
            ("BREAKER_TRIALS", "BREAKER_SUCCESS_THRESHOLD"),
            id="trials that cannot matter",
        ),
        pytest.param(
            {"breaker_recovery_timeout": 60, "breaker_recovery_max": 30},
            ("BREAKER_RECOVERY_TIMEOUT", "BREAKER_RECOVERY_MAX"),
            id="a cap below the start",
        ),
        pytest.param(
            {"connect_timeout": 3, "timeout": 2}, ("CONNECT_TIMEOUT", "TIMEOUT"), id="connect"
        ),
        pytest.param(
            {"retry_initial_delay": 9, "retry_max_delay": 8},
            ("RETRY_INITIAL_DELAY", "RETRY_MAX_DELAY"),
            id="delays",
        ),
    ],
)
def test_contradiction_names_both_keys(given, keys):
    """Two values that contradict each other raise with both keys."""
    with pytest.raises(ConfigurationError, match=f"RESILIENCE_{keys[0]} is .*RESILIENCE_{keys[1]}"):
        load(**given)


def test_contradiction_names_both_values():
    """Two values that contradict each other are shown, with their keys."""
    with pytest.raises(ConfigurationError) as raised:
        load(timeout=10, deadline=5)
    assert str(raised.value) == (
        "RESILIENCE_TIMEOUT is 10.0 and RESILIENCE_DEADLINE is 5.0; "
        "the first must not exceed the second."
    )


def test_short_deadline_alone_contradicts_nothing():
    """A deadline below the default timeout shortens the attempts and is no error."""
    assert load(deadline=1.5).call.deadline == 1.5


def test_client_is_filled_up_from_the_app():
    """A client has its own settings, and the app's for the rest."""
    settings = load(
        timeout=9,
        retry_attempts=2,
        clients={
            "billing": {
                "base_url": "https://billing.example",
                "deadline": 12,
                "retry": {"jitter": "none"},
                "breaker": {"failure_threshold": 3},
                "headers": {"X-Team": "shop"},
            },
            "plain": {},
        },
    )
    billing, plain = settings.clients["billing"], settings.clients["plain"]
    assert (billing.name, billing.base_url) == ("billing", "https://billing.example")
    assert (billing.timeout, billing.deadline) == (9, 12)
    assert (billing.retry.attempts, billing.retry.jitter) == (2, "none")
    assert billing.breaker.failure_threshold == 3
    assert billing.headers == {"X-Team": "shop"}
    assert (plain.retry, plain.breaker) == (settings.call.retry, settings.call.breaker)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"tiemout": 1}, r"CLIENTS\['billing'\]\['tiemout'\].*'timeout'", id="unknown"),
        pytest.param(
            {"retry": {"attempts": 0}},
            r"CLIENTS\['billing'\]\['retry'\]\['attempts'\] is 0",
            id="nested",
        ),
        pytest.param(
            {"breaker": {"treshold": 1}}, r"\['breaker'\]\['treshold'\]", id="nested unknown"
        ),
        pytest.param({"retry": 3}, r"\['retry'\] is a int", id="nested of a wrong type"),
        pytest.param({"base_url": "billing.example"}, r"\['base_url'\] is", id="no schema"),
        pytest.param({"timeout": 9, "deadline": 3}, r"\['timeout'\].*\['deadline'\]", id="both"),
        pytest.param({"headers": {"X-Key": 5}}, r"\['headers'\] is a dict", id="header"),
        pytest.param({"retry_attempts": 2}, r"\['retry_attempts'\] is no setting", id="flat name"),
        pytest.param({1: 2}, r"CLIENTS\['billing'\] is a dict", id="a number for a name"),
        pytest.param(ClientOptions(), r"CLIENTS is a dict", id="an object"),
        pytest.param({"timeout": 40}, r"\['timeout'\] is 40.*\['deadline'\] is 25", id="the app's"),
    ],
)
def test_wrong_client_setting_is_named(options, message):
    """A mistake in a client's settings is named with its whole path."""
    with pytest.raises(ConfigurationError, match=message):
        load(clients={"billing": options})


def test_values_of_headers_are_not_shown():
    """An error about headers, which may hold keys, shows none of them."""
    with pytest.raises(ConfigurationError) as raised:
        load(clients={"billing": {"headers": {"Authorization": "hunter2", "X": 5}}})
    assert "hunter2" not in str(raised.value.to_dict())


@pytest.mark.parametrize(
    "settings",
    [
        {"storage_url": "mysql://:hunter2@host/0"},
        {"storage_url": "redis:/h:hunter2@host"},
        {"storage_url": "h:hunter2@host"},
        {"storage_url": "redis://:my hunter2@host"},
        {"storage_url": " redis:user:hunter2@host"},
        {"clients": {"a": {"base_url": "https://u:hunter2@host/?x"}}},
    ],
)
def test_user_part_of_a_url_is_not_shown(settings):
    """An error about a URL shows no password of it."""
    with pytest.raises(ConfigurationError) as raised:
        load(**settings)
    assert "hunter2" not in str(raised.value.to_dict())


def test_long_value_is_cut():
    """An error shows the beginning of a long value."""
    with pytest.raises(ConfigurationError) as raised:
        load(namespace="x" * 5000)
    assert len(str(raised.value)) < 400


def test_key_in_lower_case_is_unknown():
    """A key that Flask would not find in any case is no silent nothing."""
    with pytest.raises(ConfigurationError, match=r"RESILIENCE_timeout .*RESILIENCE_TIMEOUT"):
        load_settings({"RESILIENCE_timeout": 3}, {}, "shop")


def test_every_key_says_what_it_means():
    """Each key of the surface has a rule in words, a meaning and a default that obeys the rule."""
    for name, field in app_fields().items():
        assert field.metadata["meaning"], name
        assert str(field.metadata["rule"]), name
        if field.default is not dataclasses.MISSING:
            assert field.metadata["rule"].accept(field.default) == field.default, name


def test_wrong_setting_leaves_the_app_untouched():
    """When init_app refuses, nothing was wired yet, and it can be called again."""
    app = Flask("shop")
    app.config["RESILIENCE_RATE_LIMIT"] = "junk"
    plain = app.wsgi_app
    with pytest.raises(ConfigurationError):
        Resilience().init_app(app)
    assert app.wsgi_app == plain
    assert "resilience" not in app.extensions
    app.config["RESILIENCE_RATE_LIMIT"] = ""
    Resilience().init_app(app)


HIDDEN = "hunter2"


def load_billing(monkeypatch, options, **variables):
    """Return the client ``billing`` as it is set to, with some environment variables."""
    monkeypatch.delenv("MISSING", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load(clients={"billing": options}).clients["billing"]


@pytest.mark.parametrize(
    ("written", "expanded"),
    [
        pytest.param("${TOKEN}", "abc", id="whole"),
        pytest.param("Bearer ${TOKEN}", "Bearer abc", id="behind text"),
        pytest.param("${TOKEN}${_t1}.x", "abc/1.x", id="two, and text"),
        pytest.param("$${TOKEN}", "${TOKEN}", id="escaped"),
        pytest.param("$${TOKEN} ${TOKEN}", "${TOKEN} abc", id="escaped, then not"),
        pytest.param("$${not closed $${1X} $${", "${not closed ${1X} ${", id="escaped nonsense"),
        pytest.param("$$${TOKEN}", "$${TOKEN}", id="a dollar before an escaped one"),
        pytest.param("$", "$", id="a dollar"),
        pytest.param("$TOKEN $5 a$ $$ {TOKEN} $ {TOKEN}", None, id="dollars and braces"),
        pytest.param("[${EMPTY}]", "[]", id="empty"),
        pytest.param("${EMPTY}", "", id="empty and whole"),
        pytest.param("${NESTED}", "${TOKEN} $${TOKEN}", id="not expanded again"),
        pytest.param("${NUMBER}", "12", id="a number where text is wanted"),
    ],
)
def test_reference_is_replaced_by_the_variable(monkeypatch, written, expanded):
    """``${NAME}`` stands for a variable, ``$${`` for ``${``, and any other text for itself."""
    variables = {"TOKEN": "abc", "_t1": "/1", "EMPTY": "", "NUMBER": "12"}
    variables["NESTED"] = "${TOKEN} $${TOKEN}"
    billing = load_billing(monkeypatch, {"headers": {"X-Key": written}}, **variables)
    assert billing.headers == {"X-Key": written if expanded is None else expanded}


def test_references_are_replaced_at_any_depth():
    """Mappings, lists, tuples and sets are searched; all else stays the object it is."""
    other = object()
    value = {"a": ["${TOKEN}", ("${TOKEN}", other), {"${TOKEN}"}, 5, None, b"${TOKEN}"]}
    expanded = expand(value, "KEY", {"TOKEN": "abc"})
    assert expanded == {"a": ["abc", ("abc", other), {"abc"}, 5, None, b"${TOKEN}"]}


def test_given_mapping_is_not_changed(monkeypatch):
    """What the user wrote stays as it was written."""
    clients = {"billing": {"headers": {"X": "${TOKEN}"}, "retry": {"jitter": "${JITTER}"}}}
    written = copy.deepcopy(clients)
    monkeypatch.setenv("TOKEN", "abc")
    monkeypatch.setenv("JITTER", "none")
    billing = load(clients=clients).clients["billing"]
    assert (billing.headers, billing.retry.jitter) == ({"X": "abc"}, "none")
    assert clients == written


def test_names_are_not_expanded(monkeypatch):
    """Names of clients and of headers are taken as they are."""
    monkeypatch.setenv("TOKEN", "abc")
    clients = load(clients={"${TOKEN}": {"headers": {"${TOKEN}": "x"}}}).clients
    assert clients["${TOKEN}"].headers == {"${TOKEN}": "x"}


def test_constructor_keyword_may_hold_references(monkeypatch):
    """The keyword ``clients`` is the same setting, read in ``init_app``."""
    resilience = Resilience(clients={"billing": {"base_url": "${BILLING_URL}/v1"}})
    monkeypatch.setenv("BILLING_URL", "https://billing.example")
    app = Flask("shop")
    resilience.init_app(app)
    settings = app.extensions["resilience"].settings
    assert settings.clients["billing"].base_url == "https://billing.example/v1"


@pytest.mark.parametrize(
    ("section", "name", "held", "value"),
    [
        pytest.param(None, "timeout", "2.5", 2.5, id="a number"),
        pytest.param(None, "timeout", " 2\n", 2.0, id="a number with space around"),
        pytest.param("retry", "attempts", "3", 3, id="a whole number"),
        pytest.param(None, "raise_for_status", "true", True, id="a flag in JSON"),
        pytest.param(None, "raise_for_status", "False", False, id="a flag in Python"),
        pytest.param("retry", "statuses", "[503]", {503}, id="a list"),
        pytest.param("breaker", "slow_call_duration", "null", None, id="none"),
        pytest.param("breaker", "slow_call_duration", "1.5", 1.5, id="none or a number"),
        pytest.param("retry", "backoff", "fixed", "fixed", id="a word"),
    ],
)
def test_whole_reference_may_stand_for_any_type(monkeypatch, section, name, held, value):
    """A setting that is no text reads its variable as JSON."""
    options = {name: "${HELD}"}
    options = {section: options} if section else options
    billing = load_billing(monkeypatch, options, HELD=held)
    found = getattr(getattr(billing, section) if section else billing, name)
    assert found == value
    assert isinstance(found, str) or type(found) in (float, int, bool, frozenset, type(None))


@pytest.mark.parametrize(
    ("options", "held", "key"),
    [
        pytest.param({"timeout": "${HELD}"}, HIDDEN, "['timeout']", id="no number"),
        pytest.param({"timeout": "${HELD}"}, "777777", "['timeout']", id="out of range"),
        pytest.param({"timeout": "${HELD}"}, "", "['timeout']", id="empty"),
        pytest.param({"timeout": "1${HELD}"}, "5.55", "['timeout']", id="half a number"),
        pytest.param({"timeout": "${HELD}"}, "9" * 5000, "['timeout']", id="huge"),
        pytest.param({"timeout": "${HELD}"}, "[" * 100_000, "['timeout']", id="deep"),
        pytest.param({"timeout": "${HELD}"}, '"2"', "['timeout']", id="text in JSON"),
        pytest.param({"timeout": "$${HELD}"}, "2.22", "['timeout']", id="escaped"),
        pytest.param(
            {"retry": {"attempts": "${HELD}"}}, "2.5", "['retry']['attempts']", id="no whole number"
        ),
        pytest.param({"raise_for_status": "${HELD}"}, "yes", "['raise_for_status']", id="no flag"),
        pytest.param({"base_url": "${HELD}"}, HIDDEN, "['base_url']", id="no address"),
        pytest.param({"base_url": "${HELD}"}, "null", "['base_url']", id="null is text"),
        pytest.param(
            {"base_url": "${HELD}"}, f"https://u:{HIDDEN}@h/?{HIDDEN}", "['base_url']", id="query"
        ),
        pytest.param(
            {"retry": {"backoff": "${HELD}"}}, HIDDEN, "['retry']['backoff']", id="no such word"
        ),
        pytest.param(
            {"retry": {"statuses": [503, "${HELD}"]}},
            "504",
            "['retry']['statuses']",
            id="text in a list",
        ),
        pytest.param(
            {"timeout": 1, "deadline": "${HELD}"}, "0.777", "['timeout']", id="contradiction"
        ),
        pytest.param(
            {"timeout": "${HELD}", "deadline": 1}, "7.75", "['timeout']", id="contradicts a number"
        ),
    ],
)
def test_wrong_variable_shows_the_reference_alone(monkeypatch, options, held, key):
    """An error names the key and shows what was written, and nowhere what the variable held."""
    with pytest.raises(ConfigurationError) as raised:
        load_billing(monkeypatch, options, HELD=held)
    error = raised.value
    assert error.code == "CFG-002"
    assert error.details["key"] == f"RESILIENCE_CLIENTS['billing']{key}"
    assert "${HELD}" in str(error)
    message = str(error) + repr(error) + str(error.details)
    assert not held or held[:50] not in message
    assert HIDDEN not in message


@pytest.mark.parametrize(
    ("options", "key"),
    [
        pytest.param({"headers": "${HELD}"}, "['headers']", id="headers"),
        pytest.param({"retry": "${HELD}"}, "['retry']", id="retry"),
    ],
)
def test_mapping_cannot_come_from_a_variable(monkeypatch, options, key):
    """A reference instead of a mapping is text, whatever the variable holds."""
    with pytest.raises(ConfigurationError, match=re.escape(f"{key} is a str; it must be")):
        load_billing(monkeypatch, options, HELD='{"attempts": 3}')


@pytest.mark.parametrize(
    ("options", "key"),
    [
        pytest.param(
            {"headers": {"Authorization": "Bearer ${MISSING}"}},
            "['headers']['Authorization']",
            id="nested",
        ),
        pytest.param({"base_url": "${MISSING}"}, "['base_url']", id="whole"),
        pytest.param(
            {"retry": {"statuses": [503, "${MISSING}"]}}, "['retry']['statuses'][1]", id="in a list"
        ),
        pytest.param({"auth": ({"${MISSING}"},)}, "['auth'][0]", id="in a set in a tuple"),
    ],
)
def test_missing_variable_is_named(monkeypatch, options, key):
    """A variable that is not set raises with the key, its own name and the remedy."""
    with pytest.raises(ConfigurationError) as raised:
        load_billing(monkeypatch, options)
    key = f"RESILIENCE_CLIENTS['billing']{key}"
    assert str(raised.value) == (
        f"{key} refers to the environment variable MISSING, which is not set. "
        "Set it, or for a literal ${MISSING} write $${MISSING}."
    )
    assert raised.value.code == "CFG-003"
    assert raised.value.details == {"key": key, "variable": "MISSING"}


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("${not closed", id="not closed"),
        pytest.param("${1X}", id="a digit first"),
        pytest.param("${}", id="no name"),
        pytest.param("${A-B}", id="a hyphen"),
        pytest.param("${A:-b}", id="a default"),
        pytest.param("${ A }", id="spaces"),
        pytest.param("${NAMÉ}", id="not ASCII"),
        pytest.param("${A\n}", id="a line break"),
        pytest.param("${TOKEN} ${", id="behind a right one"),
    ],
)
def test_wrong_reference_is_refused(monkeypatch, written):
    """A reference with no end or no proper name raises with the key, the rule and the remedy."""
    with pytest.raises(ConfigurationError) as raised:
        load_billing(monkeypatch, {"headers": {"X": f"{HIDDEN} {written}"}}, TOKEN="abc", A="b")
    error = raised.value
    key = "RESILIENCE_CLIENTS['billing']['headers']['X']"
    assert str(error) == (
        f"{key} holds a '${{' that begins no reference; it must be ${{NAME}}, with a name of "
        "ASCII letters, digits and '_' that begins with no digit. "
        "For a literal '${' write '$${'."
    )
    assert (error.code, error.details["key"]) == ("CFG-002", key)
    assert HIDDEN not in str(error.to_dict())


def test_expanded_text_shows_as_written(monkeypatch):
    """What came from the environment is in no ``repr``, also of a copy in another process."""
    options = {"base_url": "https://${HOST}", "headers": {"X-Key": "${TOKEN}"}}
    billing = load_billing(monkeypatch, options, HOST=f"{HIDDEN}.example", TOKEN=HIDDEN)
    for one in (billing, pickle.loads(pickle.dumps(billing)), copy.deepcopy(billing)):
        assert one.headers == {"X-Key": HIDDEN}
        assert one.base_url == f"https://{HIDDEN}.example"
        assert HIDDEN not in repr(one)
        assert "'X-Key': '${TOKEN}'" in repr(one)


def test_expanded_text_is_sent(monkeypatch):
    """A client sends what the variables held, to where they point."""
    with ScriptedUpstream(200) as upstream:
        monkeypatch.setenv("BILLING_URL", upstream.url)
        monkeypatch.setenv("BILLING_TOKEN", HIDDEN)
        clients = {
            "billing": {
                "base_url": "${BILLING_URL}/v1",
                "headers": {"Authorization": "Bearer ${BILLING_TOKEN}"},
            }
        }
        app = Flask("shop")
        resilience = Resilience(app, clients=clients, storage_url="memory://")
        with app.app_context():
            resilience.client("billing").get("/invoices")
    assert upstream.requests[0].path == "/v1/invoices"
    assert upstream.requests[0].headers["authorization"] == f"Bearer {HIDDEN}"
