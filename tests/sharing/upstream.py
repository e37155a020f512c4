"""An upstream whose health tests switch, and which holds its answers back when told to."""

from __future__ import annotations

import threading
from collections import Counter

from flask_resilience.testing import Received, Reply, ScriptedUpstream


class SwitchedUpstream(ScriptedUpstream):
    """Answers ``/503`` with that status, and so any other; ``/`` with what it is switched to.

    :ivar answers: How many requests there were of each status, answered or held back.
    """

    def __init__(self) -> None:
        super().__init__(200)
        self.status = 200
        self.answers: Counter[int] = Counter()
        self._open = threading.Event()
        self._open.set()

    @property
    def bad(self) -> str:
        """Return an address that always fails."""
        return f"{self.url}/503"

    @property
    def good(self) -> str:
        """Return an address that always succeeds."""
        return f"{self.url}/200"

    def hold(self) -> None:
        """Answer no good call from now on."""
        self._open.clear()

    def let_go(self) -> None:
        """Answer all who wait, and who come."""
        self._open.set()

    def next_reply(self, request: Received) -> Reply:
        """Note *request*, and return its answer when it is to have one."""
        reply = super().next_reply(request)
        status = int(request.path.strip("/") or self.status)
        with self._lock:
            self.answers[status] += 1
        if status == 200:
            self._open.wait(60)
        return Reply(status=status, headers=reply.headers)
