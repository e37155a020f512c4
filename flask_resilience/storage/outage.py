"""A storage that is down costs one caller a little once, and nobody anything after."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeAlias, TypeVar

from ..circuits.circuit_storage import CircuitStorage
from ..clock import Clock
from ..errors import StorageError
from ..events import OnEvent, StorageDegraded, StorageRecovered
from ..forks import begin_anew_when_forked
from ..policies.circuit import NEW

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
PROBE_KEY = "storage\nprobe"  # which is no upstream's name
PROBE_TTL = 60.0
PROBE_TIMEOUT = 5.0
"""After so many seconds a probe that said nothing, as of a forked parent, is taken for lost."""

Start: TypeAlias = Callable[[Callable[[], None]], None]
P = ParamSpec("P")
T = TypeVar("T")


def start_thread(function: Callable[[], None]) -> None:
    """Run *function* in a thread that ends with it, and with the process."""
    threading.Thread(target=function, name="flask-resilience storage probe", daemon=True).start()


class Outage:
    """Watch what is asked of one storage, and refuse at once while it is down.

    The first operation that fails begins an outage. From then on operations are refused without
    asking, and after a pause (1 second, doubled up to 30) the next one has a *probe* written by a
    short-lived thread, so that no caller ever waits for a storage known to be down.

    All that lies in one storage shares one of these: it is down for all at once, and is told of
    once.

    :param find: Gives the circuits that lie in it, by which it is probed.
    :param used_for: All that lies in it, for those who are told.
    :param on_event: Told of the beginning and the end of each outage.
    :param start: Runs a probe where nobody waits for it.
    """

    def __init__(
        self,
        find: Callable[[], CircuitStorage],
        clock: Clock,
        on_event: OnEvent,
        *,
        used_for: str = "circuits",
        start: Start = start_thread,
    ) -> None:
        self._find, self._clock, self._on_event, self._start = find, clock, on_event, start
        self._used_for = used_for
        self._error: StorageError | None = None  # guarded by _lock
        self._down_since = self._probe_at = 0.0  # guarded by _lock
        self._pause = FIRST_PAUSE  # guarded by _lock
        self._back_at = -math.inf  # guarded by _lock
        self.begin_anew()
        begin_anew_when_forked(self)

    def watch(self, operation: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what *operation* does.

        :raises StorageError: If the storage is down.
        """
        if self._error is not None:
            self._refuse(self._error)
        try:
            return operation(*args, **kwargs)
        except StorageError as error:
            self._go_down(error)
            raise

    @property
    def next_probe_in(self) -> float:
        """Return how many seconds it takes at least until the storage is asked again."""
        return max(0.0, self._probe_at - self._clock.monotonic())

    def begin_anew(self) -> None:
        """Have a lock that nobody holds."""
        self._lock = threading.RLock()  # a stream let go may end within a collection in here

    def _refuse(self, error: StorageError) -> None:
        if self._claim_probe():
            try:
                self._start(self._probe)
            except RuntimeError:  # the interpreter is about to end, or out of threads
                self._wait_longer()
        raise StorageError(error.storage, error.reason, error.error_type)

    def _claim_probe(self) -> bool:
        now = self._clock.monotonic()
        with self._lock:
            mine = self._error is not None and now >= self._probe_at
            if mine:
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
                self._probe_at = now + max(self._pause, PROBE_TIMEOUT)
        return mine

    def _probe(self) -> None:
        """Ask for a write, not just an answer: a full or read-only storage is down, too."""
        try:
            storage = self._find()
            version = storage.read(PROBE_KEY).version
            storage.compare_and_set(PROBE_KEY, version, NEW, PROBE_TTL)
        except StorageError:
            self._wait_longer()
        else:
            self._come_back()

    def _wait_longer(self) -> None:
        with self._lock:
            self._probe_at = self._clock.monotonic() + self._pause

    def _go_down(self, error: StorageError) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if self._error is not None:
                return  # another thread came first
            self._error, self._down_since = error, now
            if now - self._back_at > LONGEST_PAUSE:  # else the probe has not seen what is wrong
                self._pause = FIRST_PAUSE
            self._probe_at = now + self._pause
        self._on_event(
            StorageDegraded(
                storage=self._find().address,
                used_for=self._used_for,
                error_type=error.error_type,
                error_message=error.reason,
            )
        )

    def _come_back(self) -> None:
        with self._lock:
            ended, self._error = self._error is not None, None
            self._back_at = self._clock.monotonic()
            down_for = self._back_at - self._down_since
        if ended:
            self._on_event(
                StorageRecovered(
                    storage=self._find().address, used_for=self._used_for, down_for=down_for
                )
            )
