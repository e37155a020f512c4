"""A configuration for gunicorn whose own lines are JSON, too.

::

    gunicorn -c python:flask_resilience.gunicorn "shop:create_app()"

What gunicorn says of itself (its start and end, worker timeouts, requests too malformed for any
app) goes to standard output in the shape of all other lines. The access log is off: the app's
finish line says more. A configuration of your own takes this over with
``from flask_resilience.gunicorn import accesslog, logger_class``.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

from gunicorn.glogging import Logger

from .telemetry.logging import StdlibHandler, name_service

__all__ = ["accesslog", "logger_class"]


class JSONLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's logger, which writes as flask-resilience does where it would use the console."""

    def setup(self, cfg: Any) -> None:
        """Set up as gunicorn does, and put our handler in the place of that to the console.

        :param cfg: gunicorn's configuration.
        """
        super().setup(cfg)
        for handler in list(self.error_log.handlers):
            if type(handler) is logging.StreamHandler:
                self.error_log.removeHandler(handler)
                self.error_log.addHandler(_handler())
        name_service(cfg.proc_name.partition(":")[0])
        if cfg.preload_app and "gevent" in cfg.worker_class_str:
            # Workers patch when the app, and urllib3 with it, has taken its classes from ssl. The
            # rest can wait for them: a patched arbiter would not see its workers end.
            import_module("gevent.monkey").patch_ssl()


def _handler() -> logging.Handler:
    handler = StdlibHandler()
    vars(handler)["_gunicorn"] = True  # so that gunicorn takes it off when it reloads
    return handler


logger_class = JSONLogger
accesslog = None
