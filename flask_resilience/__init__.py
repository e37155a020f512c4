"""A resilience layer for Flask: identity, limits, outbound calls that hold, logs that tie them."""

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
