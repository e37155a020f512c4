"""Redis: servers that are gone, hang, forget, refuse, speak TLS, and stand in groups."""

from __future__ import annotations

import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Thread

import pytest
import redis

from flask_resilience.circuits.circuit_storage import ABSENT
from flask_resilience.errors import ConfigurationError, StorageError
from flask_resilience.policies.circuit import Circuit
from flask_resilience.storage.redis import RedisStorage
from flask_resilience.storage.redis_server import Target
from tests.servers import CERTIFICATE, PATIENCE, RedisServer, Sentinel, free_port

TTL = 60.0
ONE, TWO = Circuit(failures=1), Circuit(failures=2)
GENEROUS = 1.0
"""Seconds that no failing operation may take, on the slowest machine; it is meant to take 0.15."""


@pytest.fixture
def storage(make_redis):
    """Return a storage at the server that all tests share."""
    return make_redis()


@pytest.fixture
def start(tmp_path) -> Iterator:
    """Return what starts a server of the test's own."""
    with ExitStack() as stack:
        yield lambda *config, **options: stack.enter_context(
            RedisServer(tmp_path, *config, **options)
        )


def put(storage, key, circuit, ttl=TTL):
    """Write *circuit* over what is held, and return its version."""
    accepted, held = storage.compare_and_set(key, storage.read(key).version, circuit, ttl)
    assert accepted
    return held.version


def put_in_time(storage, key, circuit):
    """Write *circuit* as soon as the machine is quick enough for the timeouts."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with suppress(StorageError):
            return put(storage, key, circuit)
    raise AssertionError("the server never answered in time")


def failure(storage, operation="read"):
    """Return the error of an operation, and the seconds it took."""
    arguments = ("a",) if operation == "read" else ("a", ABSENT, ONE, TTL)
    began = time.monotonic()
    with pytest.raises(StorageError) as caught:
        getattr(storage, operation)(*arguments)
    took = time.monotonic() - began
    assert took < GENEROUS
    return caught.value, took


@contextmanager
def listener(answer=None, backlog=5):
    """Listen on a port, answer each connection's first bytes if there is an answer to give."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(backlog)

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(answer)

        thread = Thread(target=serve)
        if answer is not None:
            thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            if answer is not None:
                thread.join(20)


def test_constructing_connects_to_nothing():
    """A storage at a server that is not there is made all the same, of every kind."""
    port = free_port()
    for scheme, end in (("redis", ""), ("redis+sentinel", "/main"), ("redis+cluster", "")):
        assert RedisStorage(f"{scheme}://127.0.0.1:{port}{end}").shared


def test_each_circuit_is_one_key(storage, redis_server):
    """A circuit is one hash with a time to live, whose name keeps it on one node of a Cluster."""
    put(storage, "https://api.example:443", ONE, 30.0)
    with redis_server.client() as client:
        (key,) = client.keys()
        assert key == b"flask-resilience:{shop:https%3A%2F%2Fapi.example%3A443}:circuit"
        assert 29_000 < client.pttl(key) <= 30_000
        assert client.type(key) == b"hash"


def test_connection_is_made_in_few_round_trips(make_redis, redis_server):
    """A new connection sends the password, and no greeting and no name."""
    with redis_server.client() as client:
        make_redis().read("a")
        client.config_resetstat()
        make_redis().read("a")
        sent = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
        assert not client.info("errorstats")
    assert sent - {"config|resetstat", "config"} == {"auth", "evalsha", "time", "hmget"}


@pytest.mark.parametrize("operation", ["read", "compare_and_set"])
def test_server_that_is_not_there_is_an_error(make_redis, operation):
    """A refused connection is an error of the storage, and names its address."""
    storage = make_redis(f"redis://127.0.0.1:{free_port()}/3")
    error, _ = failure(storage, operation)
    assert error.storage == storage.address
    assert "refused" in error.reason


@pytest.mark.parametrize("used", [True, False], ids=["over a connection", "over a new connection"])
def test_server_that_hangs_is_an_error(start, make_redis, used):
    """A stopped server is given up after the timeout, once, and is good again when it goes on."""
    server = start()
    storage = make_redis(server.url)
    if used:
        put_in_time(storage, "a", ONE)
    with server.paused():
        _, took = failure(storage)
        assert took >= 0.05
        failure(storage, "compare_and_set")
    put_in_time(storage, "a", TWO)


def test_timeouts_can_be_given_in_the_url(start, make_redis):
    """An option in the URL overrides ours."""
    server = start()
    storage = make_redis(f"{server.url}?socket_timeout=0.3")
    with server.paused():
        _, took = failure(storage)
    assert took >= 0.3


def test_server_that_cannot_be_reached_is_an_error(make_redis):
    """A host that drops what is sent to it is given up after the connect timeout, once."""
    with ExitStack() as stack:
        port = stack.enter_context(listener(backlog=0))
        for _ in range(4):  # fill the backlog, so that the next connection is not taken
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        _, took = failure(make_redis(f"redis://127.0.0.1:{port}"))
    assert took >= 0.1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="HTTP"),
        pytest.param(b"", id="nothing"),
        pytest.param(b":5\r\n", id="a number"),
        pytest.param(b"*5\r\n:1\r\n$1\r\nv\r\n$0\r\n\r\n$1\r\nx\r\n$1\r\nx\r\n", id="no time"),
        pytest.param(b"*-1\r\n", id="null"),
    ],
)
def test_answer_that_is_none_is_an_error(make_redis, answer):
    """Whatever else listens there, its answers are errors of the storage."""
    with listener(answer) as port:
        failure(make_redis(f"redis://127.0.0.1:{port}"))


def test_restarted_server_is_used_at_once(start, make_redis):
    """Connections to a server that was restarted meanwhile are noticed before they are used."""
    server = start()
    storage = make_redis(server.patient_url)
    old = put(storage, "a", ONE)
    server.stop()
    server.start()
    assert storage.read("a").circuit is None
    assert not storage.compare_and_set("a", old, TWO, TTL)[0]
    put(storage, "a", TWO)


def test_version_from_before_a_flush_is_refused(storage, redis_server):
    """What was flushed is gone, and its version is nothing's and never anything's again."""
    old = put(storage, "a", ONE)
    with redis_server.client() as client:
        client.flushall()
    accepted, held = storage.compare_and_set("a", old, TWO, TTL)
    assert (accepted, held.version) == (False, ABSENT)
    put(storage, "a", ONE)
    assert not storage.compare_and_set("a", old, TWO, TTL)[0]


def test_forgotten_script_is_sent_again(storage, redis_server):
    """A server that lost the script is told it once more, unnoticed."""
    put(storage, "a", ONE)
    with redis_server.client() as client:
        for _ in range(2):
            client.script_flush()
            put(storage, "a", TWO)
        client.config_resetstat()
        storage.read("a")
        assert "cmdstat_eval" not in client.info("commandstats")


@pytest.mark.parametrize("password", ["wrong", ""], ids=["wrong", "missing"])
def test_password_that_is_refused_is_an_error(redis_server, make_redis, password):
    """Without the right password each operation fails, and says why."""
    user = f":{password}@" if password else ""
    error, _ = failure(make_redis(f"redis://{user}127.0.0.1:{redis_server.port}"))
    assert "Authentication" in error.reason


def test_full_server_can_be_read(start, make_redis):
    """A server at its limit of memory refuses writes, and still answers reads."""
    server = start("--maxmemory-policy", "noeviction")
    storage = make_redis(server.patient_url)
    put(storage, "b", ONE)
    with server.client() as client:
        client.config_set("maxmemory", 1)
    error, _ = failure(storage, "compare_and_set")
    assert "memory" in error.reason
    assert storage.read("b").circuit == ONE


def test_replica_can_be_read(start, make_redis):
    """A read-only replica refuses writes, and still answers reads."""
    main = start()
    replica = start("--replicaof", "127.0.0.1", str(main.port))
    storage = make_redis(replica.patient_url)
    error, _ = failure(storage, "compare_and_set")
    assert "read only" in error.reason
    assert storage.read("a").circuit is None


def test_key_of_another_type_is_no_outage(storage, redis_server):
    """What somebody put in a circuit's place reads as nothing, and a circuit can be written."""
    with redis_server.client() as client:
        client.set("flask-resilience:{shop:a}:circuit", "mine")
    assert storage.read("a").circuit is None
    assert storage.compare_and_set("a", ABSENT, Circuit(failures=1), 60.0)[0]
    assert storage.read("a").circuit == Circuit(failures=1)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"version": "v", "circuit": b"\xff{"}, id="no circuit"),
        pytest.param({"version": b"\xff\xfe", "circuit": "{}"}, id="no text"),
        pytest.param({"version": "v"}, id="no value"),
        pytest.param({"circuit": "[]"}, id="no version"),
        pytest.param({"other": "1"}, id="something else"),
    ],
)
def test_garbage_can_be_written_over(storage, redis_server, fields):
    """What was put in a circuit's place reads as far as it can, and is written over."""
    with redis_server.client() as client:
        client.hset("flask-resilience:{shop:a}:circuit", mapping=fields)
    assert storage.read("a").circuit in (None, Circuit())
    put(storage, "a", TWO)
    assert storage.read("a").circuit == TWO


SECRETS = "pa%2Fss", "pa/ss"


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("redis://ana:pa%2Fss@127.0.0.1:{port}/0?client_name=x", id="single"),
        pytest.param("redis://127.0.0.1:{port}?password=pa%2Fss", id="in the query"),
        pytest.param("rediss://:pa%2Fss@127.0.0.1:{port}", id="TLS"),
        pytest.param(
            "redis+sentinel://:pa%2Fss@127.0.0.1:{port}/main?sentinel_password=pa%2Fss",
            id="Sentinel",
        ),
        pytest.param("redis+cluster://:pa%2Fss@127.0.0.1:{port},127.0.0.1:1", id="Cluster"),
    ],
)
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(None, id="hanging"),
        pytest.param(b"-ERR no pa/ss or pa%2Fss\r\n", id="telling"),
        pytest.param(b"-NOSCRIPT\r\n", id="odd"),
    ],
)
def test_no_password_is_told(make_redis, url, answer):
    """No password is in the address, the representation, or an error and all that it is from."""
    with listener(answer) as port:
        storage = make_redis(url.format(port=port))
        error, _ = failure(storage)
    texts = [storage.address, repr(storage), repr(vars(storage)), repr(error), repr(vars(error))]
    texts += traceback.format_exception(error)
    assert error.__context__ is None
    assert not [one for one in SECRETS for text in texts if one in text]


@pytest.mark.parametrize(
    ("url", "hosts", "rest"),
    [
        pytest.param("redis://h", [("h", 6379)], {}, id="short"),
        pytest.param("redis://h:1/2", [("h", 1)], {"db": 2}, id="database"),
        pytest.param("redis://h?db=3", [("h", 6379)], {"db": 3}, id="database as an option"),
        pytest.param("valkey://h", [("h", 6379)], {"ssl": False}, id="Valkey"),
        pytest.param("rediss://h", [("h", 6379)], {"ssl": True}, id="TLS"),
        pytest.param("valkeys://[::1]:5", [("::1", 5)], {"ssl": True}, id="IPv6"),
        pytest.param(
            "redis://a:b%40c@h", [("h", 6379)], {"username": "a", "password": "b@c"}, id="user"
        ),
        pytest.param(
            "redis+sentinel://:x@h,i:1/main/4",
            [("h", 26379), ("i", 1)],
            {"db": 4, "password": "x", "socket_timeout": 0.05, "socket_connect_timeout": 0.1},
            id="Sentinel",
        ),
        pytest.param("rediss+cluster://h:1,i:2", [("h", 1), ("i", 2)], {"ssl": True}, id="Cluster"),
        pytest.param(
            "redis://h?socket_timeout=1&decode_responses=yes",
            [("h", 6379)],
            {"socket_timeout": 1.0, "socket_connect_timeout": 0.1, "decode_responses": False},
            id="options",
        ),
    ],
)
def test_url_is_read(url, hosts, rest):
    """A URL says where the servers are and what to tell them; ours fill it up."""
    target = Target.of(url)
    assert list(target.hosts) == hosts
    assert {name: target.options.get(name) for name in rest} == rest


def test_sentinels_share_the_time_of_one_server():
    """Three Sentinels that hang cost no more than one, and get passwords of their own."""
    target = Target.of("redis+sentinel://:x@a,b,c/main?sentinel_password=y&sentinel_username=z")
    assert target.of_sentinels["socket_connect_timeout"] * 3 == pytest.approx(0.1)
    of_sentinels = {"username": "z", "password": "y"}
    assert {name: target.of_sentinels[name] for name in of_sentinels} == of_sentinels
    assert (target.options["password"], target.options.get("username")) == ("x", None)


@pytest.mark.parametrize("option", ["sockettimeout=1", "db=x", "socket_timeout=long"])
def test_unknown_option_is_an_error_of_the_setting(option):
    """An option that redis-py does not take is refused before anything is asked."""
    with pytest.raises(ConfigurationError, match=option.split("=")[0]):
        RedisStorage(f"redis://:s3cret@127.0.0.1?{option}")


@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis://", "redis+sentinel://h", "memory:/"])
def test_url_of_nothing_known_is_an_error_of_the_setting(url):
    """What is no URL of Redis is refused."""
    with pytest.raises(ConfigurationError):
        RedisStorage(url)


def test_tls_is_spoken_and_checked(start, make_redis):
    """Over TLS all works; a certificate nobody vouches for is an error."""
    server = start(password="s3cret", tls=True)
    storage = make_redis(server.patient_url)
    put(storage, "a", ONE)
    assert storage.read("a").circuit == ONE
    error, _ = failure(make_redis(server.url.replace(f"?ssl_ca_certs={CERTIFICATE}", "")))
    assert "CERTIFICATE_VERIFY_FAILED" in error.reason


def test_tls_to_a_server_that_hangs_is_an_error(start, make_redis):
    """A TLS handshake that nobody answers is given up like all else."""
    server = start(tls=True)
    storage = make_redis(server.url)
    with server.paused():
        failure(storage)


@pytest.fixture
def guarded(tmp_path, start):
    """Return a server with a password, and a running Sentinel that watches it."""
    server = start(password="s3cret")
    with Sentinel(tmp_path, server) as sentinel:
        yield server, sentinel


def test_master_is_found_by_its_sentinels(guarded, make_redis):
    """The master is asked for where a Sentinel says, though another Sentinel is gone."""
    _, sentinel = guarded
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}"
    storage = make_redis(f"redis+sentinel://:s3cret@{hosts}/main/0?{PATIENCE}")
    put(storage, "a", ONE)
    assert storage.read("a").circuit == ONE
    assert storage.address == f"redis+sentinel://{hosts}/main/0"


def test_unknown_master_is_an_error(guarded, make_redis):
    """A service that no Sentinel knows is an error that names it."""
    _, sentinel = guarded
    error, _ = failure(make_redis(f"redis+sentinel://:x@127.0.0.1:{sentinel.port}/other"))
    assert "'other'" in error.reason


def test_sentinels_that_hang_are_an_error(guarded, make_redis):
    """Sentinels that do not answer are given up together."""
    _, sentinel = guarded
    hosts = ",".join([f"127.0.0.1:{sentinel.port}"] * 3)
    storage = make_redis(f"redis+sentinel://:s3cret@{hosts}/main")
    with sentinel.paused():
        failure(storage)
    put_in_time(storage, "a", ONE)


def test_cluster_spreads_circuits_over_its_nodes(make_redis, redis_cluster):
    """Circuits lie on all nodes of a Cluster, each of which is told the script when it needs it."""
    storage = make_redis(redis_cluster.url)
    for number in range(30):
        put(storage, f"upstream {number}", ONE)
    assert all(redis_cluster.execute("DBSIZE"))
    redis_cluster.execute("SCRIPT", "FLUSH")
    for number in range(30):
        assert storage.read(f"upstream {number}").circuit == ONE


def test_cluster_that_is_not_there_is_an_error(make_redis):
    """A Cluster of which no node answers is an error at each use."""
    storage = make_redis(f"redis+cluster://:s3cret@127.0.0.1:{free_port()}")
    failure(storage)
    failure(storage, "compare_and_set")


def test_single_server_is_no_cluster(make_redis, redis_server):
    """A server that stands alone says so when it is asked as a Cluster."""
    storage = make_redis(f"redis+cluster://:s3cret@127.0.0.1:{redis_server.port}")
    assert "luster" in failure(storage)[0].reason


def test_command_is_not_repeated_by_the_client(start, make_redis):
    """A failing operation is sent once: retries are the caller's affair."""
    server = start()
    storage = make_redis(server.url)
    put_in_time(storage, "a", ONE)
    with server.client() as client:
        client.config_resetstat()
        with server.paused():
            failure(storage)
        calls = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert calls == 1


def test_client_of_redis_py_is_the_oldest_that_works_or_newer():
    """What the extra asks for is installed."""
    assert tuple(int(one) for one in redis.__version__.split(".")[:2]) >= (5, 0)
