"""What a client is: whom it calls, how long it may take, and by which policies."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..rules import Flag, Instance, Maybe, Named, Number, Text, Whole, check, check_fields, setting
from .circuit_breaker import CircuitBreakerPolicy
from .retry import RetryPolicy

SECONDS = Number(0.001, 86400, "seconds")
HEADERS = Named(str, "a mapping of header names to text")
BASE_URL = Text(r"https?://[^\s/?#][^\s?#]*", "an http:// or https:// address without a query")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """The settings of one outbound session.

    :param name: Names the upstream in circuits and log lines instead of its address.
    :param request_id_header: Carries the ID of the request being served to the upstream.
    :raises ConfigurationError: If a value is out of range.
    """

    name: str | None = None
    request_id_header: str = "X-Request-ID"
    base_url: str | None = setting(None, Maybe(BASE_URL), "what relative URLs are put behind")
    headers: dict[str, str] = setting({}, HEADERS, "sent with every request")
    timeout: float = setting(15.0, SECONDS, "one attempt, from connect to last byte")
    connect_timeout: float = setting(3.0, SECONDS, "the connect of an attempt")
    deadline: float = setting(25.0, SECONDS, "whole call: attempts, waits, redirects, body")
    pool_size: int = setting(32, Whole(1, 10_000), "idle connections kept for each host")
    internal: bool = setting(
        False, Flag(), "whether it is told how long the caller waits: X-Request-Timeout-Ms"
    )
    raise_for_status: bool = setting(
        False, Flag(), "whether a final 4xx or 5xx raises requests.HTTPError"
    )
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    breaker: CircuitBreakerPolicy = field(default_factory=CircuitBreakerPolicy)

    def __post_init__(self) -> None:
        check_fields(self)
        check("retry", self.retry, Instance(RetryPolicy))
        check("breaker", self.breaker, Instance(CircuitBreakerPolicy))
