"""What an attempt adds to the headers of its request: who is served, which try it is, how long."""

from __future__ import annotations

from collections.abc import Mapping

from requests import PreparedRequest

RETRY_HEADER = "X-Retry-Attempt"
TIMEOUT_HEADER = "X-Request-Timeout-Ms"


def added_headers(
    number: int, request_id: tuple[str, str] | None, time_left: float | None
) -> dict[str, str]:
    """Return the headers that go along with attempt *number*.

    :param request_id: The header and the ID it carries; ``None`` outside a request.
    :param time_left: What the attempt may take, in seconds, to be told to the upstream; ``None`` to
        keep it from the upstream.

    >>> added_headers(2, ("X-Request-ID", "visit-1"), 1.5)
    {'X-Request-ID': 'visit-1', 'X-Request-Timeout-Ms': '1500', 'X-Retry-Attempt': '1'}
    """
    added = {} if request_id is None else dict([request_id])
    if time_left is not None:
        added[TIMEOUT_HEADER] = str(max(1, int(time_left * 1000)))
    if number > 1:
        added[RETRY_HEADER] = str(number - 1)
    return added


def with_headers(request: PreparedRequest, added: Mapping[str, str]) -> PreparedRequest:
    """Return *request* itself if nothing changes, else a copy; what its user set stays.

    But for the number of a retry: on a request that a hook sends again, that of before is wrong.
    """
    if not added and RETRY_HEADER not in request.headers:
        return request
    kind = type(request)
    changed = kind.__new__(kind)
    vars(changed).update(vars(request), headers=request.headers.copy())
    changed.headers.pop(RETRY_HEADER, None)
    for name, value in added.items():
        changed.headers.setdefault(name, value)
    return changed
