"""Every ``RESILIENCE_*`` key of ``app.config``, loaded into frozen, typed values.

A key's default, range and meaning stand where they are used: here for the app's own, in
:class:`~flask_resilience.policies.client.ClientOptions`,
:class:`~flask_resilience.policies.retry.RetryPolicy` and
:class:`~flask_resilience.policies.circuit_breaker.CircuitBreakerPolicy` for calls.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeAlias

from .env_references import ExpandedText, check_expanded, expand
from .errors import ConfigurationError
from .policies.circuit_breaker import CircuitBreakerPolicy
from .policies.client import ClientOptions
from .policies.retry import RetryPolicy
from .rules import (
    LOG_FORMAT,
    LOG_LEVEL,
    LOG_PRESET,
    NAMESPACE,
    RATE_LIMIT_HEADERS,
    RATE_LIMIT_ON_STORAGE_ERROR,
    RATE_LIMIT_STRATEGY,
    REQUEST_ID_TRUST,
    SERVICE_NAME,
    TRUSTED_PROXIES,
    Flag,
    Maybe,
    Named,
    StorageURL,
    Text,
    check,
    setting,
)

PREFIX = "RESILIENCE_"
Label: TypeAlias = Callable[[str], str]
"""Gives the name that users know a setting by."""


NESTED = Named(object, "a mapping of names to values")
CLIENTS = Named(Mapping, "a mapping of client names to mappings of settings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one app is set to; durations are float seconds.

    :param call: What holds for every call: time limits, retry and circuit breaker.
    :param clients: Name to :class:`ClientOptions`, filled up from *call*.
    """

    storage_url: str | None = setting(
        None,
        Maybe(StorageURL()),
        "where circuits and counters live; None: a file shared by every worker on this host",
    )
    namespace: str | None = setting(
        None,
        Maybe(NAMESPACE),
        "apps with different ones share nothing; None: the app's import name",
    )
    service_name: str = setting("app", SERVICE_NAME, "in every log line")
    request_id_header: str = setting(
        "X-Request-ID",
        Text(r"[A-Za-z0-9-]{1,64}", "a header name of letters, digits and '-'"),
        "read, answered and sent on",
    )
    request_id_trust: str = setting(
        "any", REQUEST_ID_TRUST, "whose IDs are taken over; proxy: those that a proxy hands on"
    )
    trusted_proxies: int = setting(
        0, TRUSTED_PROXIES, "proxies in front of the app, whose X-Forwarded-For counts"
    )
    log_format: str = setting("json", LOG_FORMAT, "how log lines look")
    log_level: str = setting("INFO", LOG_LEVEL, "the least severe level written")
    log_preset: str = setting("structlog", LOG_PRESET, "whose names the fields of a line have")
    rate_limit: str = setting(
        "10 per minute;100 per hour",
        Text("[^\n]*", "limits like '10 per minute', separated by ';', or '' for none"),
        "per client, over all routes together",
    )
    rate_limit_strategy: str = setting(
        "sliding-window-counter",
        RATE_LIMIT_STRATEGY,
        "how requests are counted within a window",
    )
    rate_limit_on_storage_error: str = setting(
        "fallback",
        RATE_LIMIT_ON_STORAGE_ERROR,
        "while the storage is down: each process counts alone, all are let in (open), or none "
        "(closed)",
    )
    rate_limit_headers: str = setting(
        "draft", RATE_LIMIT_HEADERS, "which fields tell clients how their limits stand"
    )
    handle_errors: bool = setting(
        True, Flag(), "whether upstream failures a view lets escape become problem responses"
    )
    call: ClientOptions = field(default_factory=ClientOptions)
    clients: Mapping[str, Any] = setting({}, CLIENTS, "outbound sessions by name")


@dataclass(frozen=True, slots=True)
class Section:
    """The settings that one dataclass holds.

    :param prefix: Goes before each field's name to make the setting's.
    """

    kind: type[Any]
    prefix: str = ""

    def fields(self) -> dict[str, dataclasses.Field[Any]]:
        """Return the field of each setting, by the setting's name in lower case."""
        return {
            self.prefix + one.name: one
            for one in dataclasses.fields(self.kind)
            if "rule" in one.metadata
        }

    def values(self, instance: Any) -> dict[str, Any]:
        """Return the value of each setting in an instance of the dataclass."""
        return {name: getattr(instance, one.name) for name, one in self.fields().items()}

    def pick(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of *values* that belong here, by the names of the fields."""
        return {one.name: values[name] for name, one in self.fields().items() if name in values}


APP = Section(Settings)
CALL = Section(ClientOptions)
RETRY = Section(RetryPolicy, "retry_")
BREAKER = Section(CircuitBreakerPolicy, "breaker_")
OF_CLIENTS_ONLY = ("base_url", "headers")
SUCCESS_THRESHOLD = "breaker_success_threshold"
ORDERED = (
    ("connect_timeout", "timeout", {"connect_timeout"}),
    ("connect_timeout", "deadline", {"connect_timeout"}),
    ("timeout", "deadline", {"timeout"}),
    ("retry_initial_delay", "retry_max_delay", {"retry_initial_delay"}),
    ("breaker_recovery_timeout", "breaker_recovery_max", {"breaker_recovery_max"}),
    ("breaker_trials", SUCCESS_THRESHOLD, {"breaker_trials", SUCCESS_THRESHOLD}),
)
"""Pairs of which the first must not exceed the second if one of the third was given; else the
second merely cuts the first short, or gives way to it. ``None`` exceeds nothing."""


def app_fields() -> dict[str, dataclasses.Field[Any]]:
    """Return the field of every key of ``app.config``, by its name without the prefix."""
    fields = APP.fields() | CALL.fields() | RETRY.fields() | BREAKER.fields()
    return {name: one for name, one in fields.items() if name not in OF_CLIENTS_ONLY}


def client_fields() -> dict[str, dataclasses.Field[Any]]:
    """Return the field of every setting of a client, with ``retry`` and ``breaker`` unfolded."""
    return CALL.fields() | RETRY.fields() | BREAKER.fields()


def load_settings(
    config: Mapping[str, Any], defaults: Mapping[str, Any], import_name: str
) -> Settings:
    """Return what ``app.config`` asks for.

    :param config: The app's; only its ``RESILIENCE_*`` keys are read.
    :param defaults: Settings by lower-case name, which *config* overrides.
    :param import_name: The app's, the default for its service's name.
    :raises ConfigurationError: If a key is unknown, or a value of the wrong type, out of range or
        in contradiction to another, or if an environment variable that a client refers to is not
        set.
    """
    found = {key.removeprefix(PREFIX): config[key] for key in config if _is_ours(key)}
    for name in found:
        if name != name.upper():
            raise _unknown(PREFIX + name, [PREFIX + name.upper()])
    found = {name.lower(): value for name, value in found.items()}
    given = _check_given({**defaults, **found}, app_fields(), _app_label)
    settings = Settings(**{"service_name": import_name, **APP.pick(given)})
    base = ClientOptions(request_id_header=settings.request_id_header)
    call = _fill(base, given, _app_label, written=given)
    expanded = expand(settings.clients, _app_label("clients"), os.environ)
    clients = {name: _load_client(name, options, call) for name, options in expanded.items()}
    return dataclasses.replace(settings, call=call, clients=clients)


def _is_ours(key: object) -> bool:
    return isinstance(key, str) and key.startswith(PREFIX)


def _app_label(name: str) -> str:
    return PREFIX + name.upper()


def _load_client(name: str, options: Mapping[str, Any], call: ClientOptions) -> ClientOptions:
    """Return the settings of one client, filled up from the app's."""

    def label(setting_name: str) -> str:
        for section in (RETRY, BREAKER):
            if setting_name.startswith(section.prefix):
                inner = setting_name.removeprefix(section.prefix)
                return f"{PREFIX}CLIENTS[{name!r}][{section.prefix[:-1]!r}][{inner!r}]"
        return f"{PREFIX}CLIENTS[{name!r}][{setting_name!r}]"

    options = check(f"{PREFIX}CLIENTS[{name!r}]", options, NESTED)
    unfolded = {key: value for key, value in options.items() if key not in ("retry", "breaker")}
    for key in unfolded:
        if key not in CALL.fields():
            known = [label(one) for one in client_fields()]
            raise _unknown(f"{PREFIX}CLIENTS[{name!r}][{key!r}]", known)
    for section in (RETRY, BREAKER):
        nested = options.get(section.prefix[:-1], {})
        for key, value in check_expanded(label(section.prefix[:-1]), nested, NESTED).items():
            unfolded[section.prefix + key] = value
    given = _check_given(unfolded, client_fields(), label)
    return _fill(dataclasses.replace(call, name=name), given, label, written=unfolded)


def _fill(
    base: ClientOptions, given: Mapping[str, Any], label: Label, *, written: Mapping[str, Any]
) -> ClientOptions:
    """Return *base* with what was given, which must not contradict the rest.

    :param written: What was given, before it was checked.
    """
    values = {
        **CALL.values(base),
        **RETRY.values(base.retry),
        **BREAKER.values(base.breaker),
        **given,
    }
    for smaller, larger, decisive in ORDERED:
        if not decisive & given.keys() or values[smaller] is None:
            continue
        if values[smaller] > values[larger]:
            references = {
                name: text for name, text in written.items() if isinstance(text, ExpandedText)
            }
            shown = {**values, **references}
            raise ConfigurationError(
                f"{label(smaller)} is {shown[smaller]!r} and {label(larger)} is "
                f"{shown[larger]!r}; the first must not exceed the second.",
                key=label(smaller),
                contradicts=label(larger),
            )
    return dataclasses.replace(
        base,
        **CALL.pick(given),
        retry=dataclasses.replace(base.retry, **RETRY.pick(given)),
        breaker=dataclasses.replace(base.breaker, **BREAKER.pick(given)),
    )


def _check_given(
    given: Mapping[str, Any],
    fields: Mapping[str, dataclasses.Field[Any]],
    label: Label,
) -> dict[str, Any]:
    """Hold each given setting to its rule."""
    for name in given:
        if name not in fields:
            raise _unknown(label(name), [label(known) for known in fields])
    return {
        name: check_expanded(label(name), value, fields[name].metadata["rule"])
        for name, value in given.items()
    }


def _unknown(key: str, known: list[str]) -> ConfigurationError:
    nearest = get_close_matches(key, known, n=1, cutoff=0)[0]
    return ConfigurationError(
        f"{key} is no setting of flask-resilience; the nearest known one is {nearest}.",
        code="CFG-001",
        key=key,
        nearest=nearest,
    )
