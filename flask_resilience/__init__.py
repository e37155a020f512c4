"""A resilience layer for Flask: identity, limits, outbound calls that hold, logs that tie them.

Each name is imported when it is first asked for, so that the modules that need neither Flask nor
requests can be imported without them: what gevent patches must not be imported before.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .circuits.guarded_code import Breaker
    from .context import add_fields, current_request_id
    from .errors import (
        CallRejectedError,
        CircuitOpenError,
        ConfigurationError,
        DeadlineExceededError,
        ResilienceError,
        StorageError,
    )
    from .extension import Resilience
    from .inbound.middleware import RequestIDMiddleware
    from .outbound.session import ResilientSession
    from .policies.circuit_breaker import CircuitBreakerPolicy
    from .policies.client import ClientOptions
    from .policies.report import CallReport
    from .policies.retry import RetryPolicy
    from .telemetry.logging import configure_logging, get_logger

__all__ = [
    "Breaker",
    "CallRejectedError",
    "CallReport",
    "CircuitBreakerPolicy",
    "CircuitOpenError",
    "ClientOptions",
    "ConfigurationError",
    "DeadlineExceededError",
    "RequestIDMiddleware",
    "Resilience",
    "ResilienceError",
    "ResilientSession",
    "RetryPolicy",
    "StorageError",
    "add_fields",
    "configure_logging",
    "current_request_id",
    "get_logger",
]
_HOMES = {
    "Breaker": ".circuits.guarded_code",
    "CallRejectedError": ".errors",
    "CallReport": ".policies.report",
    "CircuitBreakerPolicy": ".policies.circuit_breaker",
    "CircuitOpenError": ".errors",
    "ClientOptions": ".policies.client",
    "ConfigurationError": ".errors",
    "DeadlineExceededError": ".errors",
    "RequestIDMiddleware": ".inbound.middleware",
    "Resilience": ".extension",
    "ResilienceError": ".errors",
    "ResilientSession": ".outbound.session",
    "RetryPolicy": ".policies.retry",
    "StorageError": ".errors",
    "add_fields": ".context",
    "configure_logging": ".telemetry.logging",
    "current_request_id": ".context",
    "get_logger": ".telemetry.logging",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
