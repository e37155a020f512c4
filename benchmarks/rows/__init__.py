"""Every row by its name; a row is made when it is to be measured."""

from __future__ import annotations

from collections.abc import Callable

from ..row import Row
from .breaker_closed import breaker_closed
from .breaker_open import breaker_open
from .breaker_shared import breaker_shared, breaker_shared_steady
from .breaker_threads import breaker_threads
from .gunicorn import gunicorn
from .import_time import import_time
from .inbound import inbound
from .inbound_limits import inbound_limits, inbound_limits_redis
from .limit_check import limit_check
from .log_line import log_filtered, log_line
from .read_logs import read_logs
from .retry_success import retry_success
from .session import session
from .session_environment import session_environment
from .session_threads import session_threads
from .session_upstreams import session_upstreams

ROWS: dict[str, Callable[[], Row]] = {
    "breaker-closed": breaker_closed,
    "breaker-open": breaker_open,
    "breaker-shared": breaker_shared,
    "breaker-shared-steady": breaker_shared_steady,
    "breaker-threads": breaker_threads,
    "gunicorn": gunicorn,
    "import": import_time,
    "inbound": inbound,
    "inbound-limits": inbound_limits,
    "inbound-limits-redis": inbound_limits_redis,
    "limit-check": limit_check,
    "log-filtered": log_filtered,
    "log-line": log_line,
    "read-logs": read_logs,
    "retry-success": retry_success,
    "session": session,
    "session-environment": session_environment,
    "session-threads": session_threads,
    "session-upstreams": session_upstreams,
}
