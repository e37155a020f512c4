"""What happened, as frozen values: the one thing policies and middleware report.

A listener is any callable that takes an event; it is called with no lock held, and what it raises
changes nothing (see :mod:`flask_resilience.telemetry.dispatch`). Durations are float seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .call_counts import NO_CALLS, CallFigures
from .trace_context import Span

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFinished:
    """One exchange with an upstream came to an end.

    :param attempt: Its number within the call to this upstream, from 1.
    :param status: Status of the answer; ``None`` if there was none.
    :param error_type: Class of the exception; ``None`` if there was an answer.
    :param failed: Whether the attempt was worth another one.
    :param circuit_state: State of the upstream's circuit afterwards.
    :param span: Of this attempt, as its ``traceparent`` named it to the upstream.
    """

    call_id: str
    upstream: str
    attempt: int
    max_attempts: int
    method: str
    url: str
    duration: float
    failed: bool
    circuit_state: str
    status: int | None = None
    error_type: str | None = None
    span: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryScheduled:
    """An attempt failed and the next one waits its turn.

    :param reason: The status or the exception's class that asked for it.
    :param wait: Pause before the next attempt.
    :param retry_after: What the upstream asked for, if it did.
    :param deadline_left: What is left of the call's total time before the pause.
    :param budget_left: How many more retries the upstream may cost; ``None`` without a budget.
    :param span: What the call belongs to: the request, or the call itself outside one.
    """

    call_id: str
    upstream: str
    attempt: int
    reason: str
    wait: float
    deadline_left: float
    retry_after: float | None = None
    budget_left: float | None = None
    span: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFinished:
    """A call ended, with all its attempts, waits and redirects.

    :param outcome: ``success``, ``failed``, ``exhausted``, ``not_retryable``, ``circuit_open``,
        ``deadline`` or ``budget``.
    :param stop_reason: Why no further attempt was made; ``None`` after a success.
    :param duration: From the call to its last byte.
    :param waited: The part of it spent waiting between attempts.
    :param fallback: Whether a substitute took the place of the failure.
    :param span: What the call belongs to: the request, or the call itself outside one.
    """

    call_id: str
    upstream: str
    attempts: int
    outcome: str
    duration: float
    waited: float
    stop_reason: str | None = None
    fallback: bool = False
    span: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitChanged:
    """The circuit of an upstream went from one state to another.

    :param reason: What brought it about, in a word or two.
    :param storage: Where it is shared: ``memory``, ``sqlite``, ``redis``; ``process`` if it is not,
        as the storage is down or the trouble is this host's own.
    :param actor: Who decided it; ``None`` if the rules did.
    :param calls: Attempts in the window at that moment.
    :param failures: Those that failed.
    :param failure_rate: Their share, from 0 to 1.
    :param slow_rate: The share of those that took too long.
    :param open_for: How long it stays so, when it opened or was decided so for a time.
    """

    upstream: str
    from_state: str
    to_state: str
    reason: str
    storage: str
    actor: str | None = None
    calls: int = 0
    failures: int = 0
    failure_rate: float = 0.0
    slow_rate: float = 0.0
    open_for: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageDegraded:
    """A storage cannot be asked; this process goes by what it knows itself meanwhile.

    :param storage: Which it is, as a URL without a password.
    :param used_for: What it holds: ``circuits``, or ``circuits and limits``.
    :param error_type: Class of the exception that began the outage.
    :param error_message: What it said, without a password.
    :param mode: What takes its place: ``process``.
    """

    storage: str
    used_for: str
    error_type: str
    error_message: str = ""
    mode: str = "process"


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageRecovered:
    """A storage can be asked again.

    :param down_for: How long it could not.
    """

    storage: str
    used_for: str
    down_for: float
    mode: str = "shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitExceeded:
    """A request was rejected by a limit on requests coming in.

    :param policy: Which limit: ``app``, ``view``, ``blueprint`` or a scope's name.
    :param limit: The quota of it that takes the longest to have room.
    :param window: Of that quota, in seconds.
    :param retry_after: Seconds the client was told to wait; ``None`` if it never has room.
    :param key_type: What is counted by: ``client_address``, or ``key`` for the app's own.
    :param key_hash: Tells keys apart without showing them; ``None`` if it stands for several.
    :param suppressed: Rejections of the same that were not told of since the last one.
    """

    policy: str
    limit: str
    window: float
    strategy: str
    key_type: str
    key_hash: str | None
    retry_after: float | None = None
    route: str | None = None
    suppressed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigSuspicious:
    """What is set is allowed, and yet hardly what somebody wants.

    :param check: Fixed name of what was looked at, as ``deadline_above_worker_timeout``.
    :param hint: What was found, and what to do about it.
    """

    check: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFinished:
    """An inbound request was answered to its last byte, or its client left.

    :param route: The URL rule that matched; ``None`` if none did.
    :param time_to_first_byte: From the start to the headers of the answer.
    :param outcome: ``ok``, ``client_error``, ``rate_limited``, ``server_error``, ``stream_error``
        or ``client_disconnected``.
    :param client_address: The peer's; behind trusted proxies, what the first of them saw.
    :param calls: What was counted of the calls made for it.
    :param added: What its view adds to its finish line.
    :param span: OpenTelemetry's, if it was active; ``None`` if the request's own holds.
    """

    method: str
    path: str
    status: int
    body_size: int
    duration: float
    time_to_first_byte: float
    outcome: str
    route: str | None = None
    endpoint: str | None = None
    client_address: str | None = None
    user_agent: str | None = None
    error_type: str | None = None
    calls: CallFigures = NO_CALLS
    added: Mapping[str, Any] = field(default_factory=dict)
    span: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailed:
    """An exception escaped the code that served a request."""

    error: BaseException = field(repr=False)


Event: TypeAlias = (
    AttemptFinished
    | RetryScheduled
    | CallFinished
    | CircuitChanged
    | StorageDegraded
    | StorageRecovered
    | LimitExceeded
    | ConfigSuspicious
    | RequestFinished
    | RequestFailed
)
OnEvent: TypeAlias = Callable[[Event], None]


def tell(listener: OnEvent, event: Event) -> None:
    """Let *listener* hear of *event*; if it raises, that is logged and changes nothing."""
    try:
        listener(event)
    except Exception:
        _logger.exception("The listener %r failed on %s.", listener, type(event).__name__)


def ignore_event(event: Event) -> None:
    """Listen to nothing: the default where no listener was given."""
