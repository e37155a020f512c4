"""Answers for what went wrong, as problem details; as HTML for a client that prefers it.

Source: RFC 9457, "Problem Details for HTTP APIs".
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, current_app, request
from markupsafe import escape
from werkzeug.exceptions import HTTPException, InternalServerError, default_exceptions

from ..context import current_request_id
from ..error_catalogue import CATALOGUE
from .served import ERROR_TYPE_KEY

INTERNAL_ERROR = "INT-001"
CONTENT_TYPE = "application/problem+json"


def problem(
    code: str, *, instance: str, retry_after: float | None = None, debug: bool = False
) -> dict[str, Any]:
    """Return the members of a problem.

    :param code: Of the catalogue of errors.
    :param instance: The path that was asked for.
    :param retry_after: Seconds after which to try again; told as whole ones, rounded up.
    :param debug: Whether to tell how to mend it, which is no business of a stranger.
    """
    entry = CATALOGUE[code]
    members = {
        "type": entry.documentation_url,
        "title": entry.title,
        "status": entry.http_status,
        "detail": entry.detail,
        "instance": instance,
        "request_id": current_request_id(),
        "code": code,
        "retry_after": None if retry_after is None else whole_seconds(retry_after),
        "troubleshooting": entry.troubleshooting if debug else None,
    }
    return {name: value for name, value in members.items() if value is not None}


def problem_response(code: str, retry_after: float | None = None) -> Response:
    """Return the answer for the request being served."""
    members = problem(code, instance=request.path, retry_after=retry_after, debug=current_app.debug)
    if request.accept_mimetypes.best_match([CONTENT_TYPE, "application/json", "text/html"]) == (
        "text/html"
    ):
        response = Response(_html(members), status=members["status"], mimetype="text/html")
    else:
        body = json.dumps(members)
        response = Response(body, status=members["status"], mimetype=CONTENT_TYPE)
    if retry_after is not None:
        response.headers["Retry-After"] = str(whole_seconds(retry_after))
    return response


def register_problems(
    app: Flask,
    escaping: tuple[type[Exception], ...],
    code_of: Callable[[Exception], str | None],
    headers_of: Callable[[Exception], dict[str, str]],
) -> None:
    """Answer upstream failures and unhandled exceptions with problems; the app's handlers win.

    :param escaping: The exceptions that outbound calls raise.
    :param code_of: Gives the code of such an exception; ``None`` leaves it to Flask.
    :param headers_of: Gives what the client is to be told of it beside its answer.
    """

    def answer_escaped(error: Exception) -> Any:
        code = code_of(error)
        if code is None:
            raise error
        request.environ[ERROR_TYPE_KEY] = type(error).__name__
        own = _own_handler(app, Exception)
        if own is not None:
            return own(error)
        response = problem_response(code, getattr(error, "retry_after", None))
        response.headers.update(headers_of(error))
        return app.handle_http_exception(
            default_exceptions[response.status_code](response=response)
        )

    def answer_internal(error: InternalServerError) -> Any:
        own = _own_handler(app, HTTPException) or _own_handler(app, Exception)
        return problem_response(INTERNAL_ERROR) if own is None else own(error)

    for kind in escaping:
        if kind not in app.error_handler_spec[None][None]:
            app.register_error_handler(kind, answer_escaped)
    if InternalServerError not in app.error_handler_spec[None][500]:
        app.register_error_handler(InternalServerError, answer_internal)


def _own_handler(app: Flask, kind: type[Exception]) -> Callable[..., Any] | None:
    """Return the app's or the blueprint's handler for all of *kind*, less specific than ours."""
    for name in (*request.blueprints, None):
        handler = app.error_handler_spec[name][None].get(kind)
        if handler is not None:
            return app.ensure_sync(handler)
    return None


def _html(members: dict[str, Any]) -> str:
    rows = "".join(f"<dt>{name}<dd>{escape(value)}" for name, value in members.items())
    title = f"{members['status']} {escape(members['title'])}"
    return f'<!doctype html><html lang="en"><title>{title}</title><h1>{title}</h1><dl>{rows}</dl>'


def whole_seconds(seconds: float) -> int:
    """Return *seconds* as ``Retry-After`` has them: rounded up, at least 1."""
    return max(1, math.ceil(round(seconds, 6)))  # 40.00000000000001 is 40
