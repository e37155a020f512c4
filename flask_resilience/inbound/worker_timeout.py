"""A deadline at or above the time after which the server kills its worker: told of, once.

Such a call never ends with an error of its own: the worker dies first, and with it the answer, the
finish line and what the circuit would have learned. Only gunicorn's sync worker kills by the time
that a request takes; its other workers stay in touch while a request runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..events import ConfigSuspicious, OnEvent

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CHECK = "deadline_above_worker_timeout"


class WorkerTimeoutCheck:
    """Look at the server by the first request that it hands over, and at nothing afterwards.

    The server shows itself by its ``start_response``, so this stands before any layer that wraps
    that. Where there is no telling, nothing is said.

    :param app: The app it stands before.
    :param deadlines: Seconds by the name that users know the setting by; the longest counts, of
        equal ones the first.
    :param on_event: Told of :class:`~flask_resilience.events.ConfigSuspicious`.
    """

    def __init__(
        self, app: WSGIApplication, *, deadlines: Mapping[str, float], on_event: OnEvent
    ) -> None:
        self._app, self._on_event = app, on_event
        self._name, self._deadline = max(deadlines.items(), key=lambda item: item[1])
        self._looked = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve the request."""
        if not self._looked:
            self._look(start_response)
        return self._app(environ, start_response)

    def _look(self, start_response: StartResponse) -> None:
        server = getattr(start_response, "__self__", None)
        if server is None:  # a test client, or another layer: the server may still come
            return
        self._looked = True
        timeout = _worker_timeout(getattr(server, "cfg", None))
        if timeout is not None and self._deadline >= timeout:
            hint = (
                f"{self._name} is {self._deadline:g} s and gunicorn kills a worker after "
                f"{timeout:g} s (--timeout); set the deadline below it, or raise --timeout."
            )
            self._on_event(ConfigSuspicious(check=CHECK, hint=hint))


def _worker_timeout(cfg: Any) -> float | None:
    """Return after how many seconds a request's worker is killed; ``None`` if it is not.

    :param cfg: gunicorn's, if that is the server.
    """
    timeout, worker = getattr(cfg, "timeout", None), getattr(cfg, "worker_class_str", None)
    if not isinstance(timeout, (int, float)) or not isinstance(worker, str):
        return None
    kills = timeout > 0 and (worker == "sync" or worker.endswith(("SyncWorker", "#sync")))
    return timeout if kills else None
