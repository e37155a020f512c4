"""URLs of storages: which are accepted, and what they lead to."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flask_resilience.errors import ConfigurationError
from flask_resilience.rules import StorageURL, check
from flask_resilience.storage import url as url_module
from flask_resilience.storage.memory import MemoryStorage
from flask_resilience.storage.redis import RedisStorage
from flask_resilience.storage.sqlite import SQLiteStorage
from flask_resilience.storage.url import open_storage
from flask_resilience.testing import FakeClock

GOOD = [
    "memory://",
    "sqlite:///shop.sqlite3",
    "sqlite:////var/lib/shop/a b.db",
    "sqlite:///C:/shop.db",
    "redis://localhost",
    "redis://127.0.0.1:6379",
    "redis://127.0.0.1:6379/0",
    "redis://:pw@h:1/2?socket_timeout=1&ssl_ca_certs=/etc/ca.pem",
    "redis://ana:p%40w@h",
    "rediss://h",
    "valkey://h",
    "valkeys://[::1]:6380/1",
    "redis+sentinel://h/main",
    "redis+sentinel://a:b@h:1,i:2,j/main/3?sentinel_password=x",
    "redis+cluster://h:1,i:2",
    "rediss+cluster://:pw@h:1",
]
BAD = [
    None,
    5,
    b"memory://",
    "",
    "memory",
    "memory:",
    "memory://here",
    "sqlite",
    "sqlite://",
    "sqlite:///",
    "sqlite://shop.db",
    "sqlite:///:memory:",
    "sqlite:///folder/",
    "sqlite:///shop.db?mode=ro",
    "sqlite:///a\nb",
    "redis:",
    "redis://",
    "redis:///0",
    "redis://:pw@",
    "redis://h:port",
    "redis://h:1/zero",
    "redis://h i",
    "redis://h,i",
    "redis+sentinel://h",
    "redis+sentinel://h/",
    "redis+sentinel:///main",
    "redis+cluster://",
    "redis+cluster://h:1/2",
    "redis+cloud://h",
    "Redis://h",
    "http://h",
    "mongodb://h",
    " redis://h",
    "redis://h\n",
]


@pytest.mark.parametrize("url", GOOD)
def test_url_of_a_storage_is_accepted(url):
    """Each kind of storage has its URL, which is kept as it is, and opens."""
    assert check("url", url, StorageURL()) == url
    assert open_storage(url, namespace="shop").address.partition(":")[0] == url.partition(":")[0]


@pytest.mark.parametrize("url", BAD, ids=repr)
def test_anything_else_is_refused(url):
    """What names no storage is refused, with the schemes that do."""
    with pytest.raises(ConfigurationError) as caught:
        check("RESILIENCE_STORAGE_URL", url, StorageURL())
    for scheme in ("memory://", "sqlite:///", "redis://", "redis+sentinel://", "redis+cluster://"):
        assert scheme in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://ana:s3cret@h:port",
        "redis://:s3/cret@h",
        "redis://:s3@cret@h:x",
        "redis+sentinel://h?sentinel_password=s3cret",
        "redis+sentinel://h?sentinel_password='s3cret\"",
        "http://s3cret@h/?token=cret",
    ],
)
def test_refusal_tells_no_password(url):
    """A URL that is refused is shown without its user and its options."""
    with pytest.raises(ConfigurationError) as caught:
        check("RESILIENCE_STORAGE_URL", url, StorageURL())
    assert "cret" not in str(caught.value) + repr(caught.value.details)
    assert url.partition("://")[0] in str(caught.value)


@pytest.mark.parametrize(
    ("url", "kind", "address"),
    [
        pytest.param("memory://", MemoryStorage, "memory://", id="memory"),
        pytest.param("sqlite:////a/b.db", SQLiteStorage, "sqlite:////a/b.db", id="absolute path"),
        pytest.param(
            "redis://:pw@h:1/2?socket_timeout=1", RedisStorage, "redis://h:1/2", id="Redis"
        ),
    ],
)
def test_url_leads_to_its_storage(url, kind, address):
    """The scheme says which storage it is; its address is the URL without secrets."""
    storage = open_storage(url, namespace="shop")
    assert type(storage) is kind
    assert storage.address == address


def test_relative_path_is_below_the_working_directory(tmp_path, monkeypatch):
    """Three slashes begin a relative path."""
    monkeypatch.chdir(tmp_path)
    storage = open_storage("sqlite:///state/shop.db", namespace="shop")
    assert storage.address == f"sqlite:///{tmp_path}/state/shop.db"


def test_storage_takes_the_time_of_the_clock(tmp_path):
    """What has no clock of its own goes by the one that is given."""
    clock = FakeClock(5_000_000.0)
    for url in ("memory://", f"sqlite:///{tmp_path}/shop.db"):
        assert open_storage(url, namespace="shop", clock=clock).read("a").now == 5_000_000.0


def test_missing_package_is_named(monkeypatch):
    """Without redis-py the error says which setting needs which extra."""

    def nothing(name, package):
        raise ModuleNotFoundError("No module named 'redis'", name="redis")

    monkeypatch.setattr(url_module, "import_module", nothing)
    with pytest.raises(ConfigurationError) as caught:
        open_storage("redis://h", namespace="shop", label="RESILIENCE_STORAGE_URL")
    assert "RESILIENCE_STORAGE_URL" in str(caught.value)
    assert "pip install flask-resilience[redis]" in str(caught.value)
    assert caught.value.details["key"] == "RESILIENCE_STORAGE_URL"


def test_nothing_is_imported_that_is_not_asked_for():
    """An app whose circuits are in memory loads neither SQLite nor Redis."""
    code = (
        "import sys\nfrom flask_resilience.storage.url import open_storage\n"
        "open_storage('memory://', namespace='shop')\n"
        "print([one for one in ('redis', 'sqlite3') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
