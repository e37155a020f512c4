"""The program of a worker: a process with an app of its own that does what a test tells it.

``python worker.py SOCKET`` is one worker. ``python worker.py`` reads the address of a socket from
each line of its input and forks a worker for it, which spares each the imports.

A worker reads commands as lines of JSON from its socket, and answers each with one line. What the
app logs is kept in memory, so that a full disk is none for the log.
"""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
import traceback

from flask import Flask

from flask_resilience import CircuitOpenError, Resilience
from flask_resilience.storage import outage
from flask_resilience.storage.redis import RedisStorage
from flask_resilience.storage.sqlite import SQLiteStorage
from flask_resilience.telemetry.signals import circuit_changed

PACE = 0.005


class Worker:
    """One app, the calls it made and the storage operations they took; methods are commands."""

    def __init__(self):
        self.calling, self.threads = threading.Event(), []
        self.outcomes, self.operations, self.probes, self.changes = [], [], [], []
        sys.stdout = self.log = io.StringIO()

    def start(self, pause, settings):
        """Make the app; a storage that is down is left alone for *pause*, and at most twice it."""
        outage.FIRST_PAUSE, outage.LONGEST_PAUSE = pause, 2 * pause
        for kind in (RedisStorage, SQLiteStorage):
            kind.read = self._watched(kind.read)
            kind.compare_and_set = self._watched(kind.compare_and_set)
        self.app = Flask("shop")
        self.resilience = Resilience(self.app, rate_limit="", retry_attempts=1, **settings)
        circuit_changed.connect(self._note_change, self.app)
        return os.getpid()

    def call(self, url, times=1, **options):
        """Make calls one after another, and return what they came to."""
        return [self._call(url, options) for _ in range(times)]

    def begin(self, url, threads=1, times=None):
        """Begin constant traffic: each thread makes calls until told to stop, or so many."""
        self.calling.set()
        self.threads = [
            threading.Thread(target=self._keep_calling, args=(url, times)) for _ in range(threads)
        ]
        for thread in self.threads:
            thread.start()

    def stop(self):
        """End the traffic."""
        self.calling.clear()
        for thread in self.threads:
            thread.join()

    def told(self, begin=0):
        """Return the traffic's outcomes from number *begin* on, each with its monotonic time."""
        return self.outcomes[begin:]

    def lines(self, event):
        """Return the log's lines of one event."""
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    def transitions(self):
        """Return each change of a circuit that this process told of, with its monotonic time."""
        return self.changes

    def operated(self):
        """Return how long each storage operation of callers took, and whether it failed."""
        return self.operations

    def probed(self):
        """Return how many operations asked whether a storage is back."""
        return len(self.probes)

    def decide(self, name, decision, **options):
        """Do with a circuit as people may."""
        with self.app.app_context():
            getattr(self.resilience.breaker(name), decision)(**options)

    def look(self, name):
        """Return a circuit's snapshot, and the monotonic time."""
        with self.app.app_context():
            return {**self.resilience.breaker(name).snapshot(), "looked_at": time.monotonic()}

    def change_of(self, name, state, seconds):
        """Return the monotonic time at which a circuit leaves *state*."""
        end = time.monotonic() + seconds
        with self.app.app_context():
            breaker = self.resilience.breaker(name)
            while breaker.state == state and time.monotonic() < end:
                time.sleep(0.005)
        return time.monotonic()

    def guard(self, name, rate, seconds):
        """Guard code that does nothing, so many times a second; return how often."""
        with self.app.app_context():
            call, begin = self.resilience.breaker(name).call, time.monotonic()
            total = int(rate * seconds)
            for number in range(total):
                call(int)
                time.sleep(max(0.0, begin + number / rate - time.monotonic()))
        return total

    def limit_files(self, size):
        """Let no file grow past *size* bytes, as on a disk that is full; ``None`` for no limit."""
        most = resource.RLIM_INFINITY if size is None else size
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    def obey_sigterm(self):
        """Let SIGTERM raise ``SystemExit``, as servers do."""
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))

    def _keep_calling(self, url, times):
        while self.calling.is_set() and times != 0:
            outcome = self._call(url, {})
            self.outcomes.append((time.monotonic(), outcome))
            times = None if times is None else times - 1
            if times is None:
                time.sleep(PACE)

    def _call(self, url, options):
        """Return the status, or the name of what was raised; anything but a fault of the call."""
        try:
            with self.app.app_context():
                return self.resilience.session.get(url, **options).status_code
        except CircuitOpenError:
            return "rejected"
        except BaseException as error:  # whatever reaches a caller is of interest
            return type(error).__name__

    def _note_change(self, app, event):
        self.changes.append((time.monotonic(), event.from_state, event.to_state, event.storage))

    def _watched(self, operation):
        def watched(*arguments):
            begin, failed = time.monotonic(), True
            try:
                answer = operation(*arguments)
                failed = False
            finally:
                probing = "probe" in threading.current_thread().name
                noted = self.probes if probing else self.operations
                noted.append((time.monotonic() - begin, failed))
            return answer

        return watched


def serve(address):
    """Be one worker until the test hangs up."""
    worker = Worker()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        with connection.makefile("rw", encoding="utf-8") as lines:
            for line in lines:
                command, arguments = json.loads(line)
                try:
                    answer = {"answer": getattr(worker, command)(**arguments)}
                except BaseException:  # the test is told of it
                    answer = {"error": traceback.format_exc()}
                lines.write(json.dumps(answer) + "\n")
                lines.flush()
            worker.stop()


def fork_for_each_line():
    """Fork a worker for each address that is read; who ends is waited for by nobody."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            serve(line.strip())
            sys.stderr.flush()
            os._exit(0)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(sys.argv[1])
    else:
        fork_for_each_line()
