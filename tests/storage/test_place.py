"""Where an app's file lies: one place for all workers of a user, and none for two apps."""

from __future__ import annotations

import os

import pytest

from flask_resilience.storage.place import default_path


@pytest.fixture
def home(tmp_path):
    """Return a home folder that is there."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def folder(environ, platform="linux"):
    """Return the folder that is chosen."""
    return default_path(
        "shop", "", {one: str(value) for one, value in environ.items()}, platform
    ).parent


def test_file_is_named_after_the_app():
    """The name can be read, and holds no character that needs care."""
    name = default_path("café.shop:api/v2 ?#", "", {}).name
    assert name.startswith("caf-shop-api-v2-")
    assert name.endswith(".sqlite3")
    assert len(default_path("x" * 255, "").name) < 80
    assert default_path("…", "").name.startswith("app-")


def test_apps_of_one_name_in_two_folders_are_apart():
    """The salt tells apart what has the same namespace, and nothing else does."""
    paths = [default_path("app", "/srv/one"), default_path("app", "/srv/two")]
    assert paths[0].parent == paths[1].parent
    assert paths[0] != paths[1]
    assert paths[0] == default_path("app", "/srv/one")
    assert default_path("app", "!") != default_path("app!", "")


def test_state_directory_of_systemd_comes_first(tmp_path, home):
    """The first folder that systemd made for the service is taken."""
    environ = {
        "STATE_DIRECTORY": f"{tmp_path}/one:{tmp_path}/two",
        "XDG_STATE_HOME": tmp_path / "xdg",
        "HOME": home,
    }
    assert folder(environ) == tmp_path / "one" / "flask-resilience"


def test_xdg_folder_comes_before_home(tmp_path, home):
    """The user's folder for state is taken where one is named."""
    environ = {"XDG_STATE_HOME": tmp_path / "xdg", "HOME": home}
    assert folder(environ) == tmp_path / "xdg" / "flask-resilience"


@pytest.mark.parametrize(
    ("platform", "below"),
    [
        pytest.param("linux", ".local/state", id="Linux"),
        pytest.param("darwin", "Library/Application Support", id="macOS"),
    ],
)
def test_home_has_the_platforms_folder(home, platform, below):
    """Without any variable but HOME, it is where the platform keeps such things."""
    assert folder({"HOME": home}, platform) == home / below / "flask-resilience"


def test_windows_has_a_folder_of_its_own(tmp_path):
    """On Windows it is the local application data."""
    assert folder({"LOCALAPPDATA": tmp_path}, "win32") == tmp_path / "flask-resilience"


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({"HOME": "/proc/nobody"}, id="home that is not there"),
        pytest.param({"HOME": "/dev/null"}, id="home that is no folder"),
        pytest.param({"HOME": "/proc/self"}, id="home that cannot be written"),
        pytest.param({"HOME": "/dev/null", "XDG_STATE_HOME": "state"}, id="relative"),
        pytest.param({"HOME": "/dev/null", "STATE_DIRECTORY": ""}, id="empty"),
        pytest.param({"HOME": "/dev/null", "STATE_DIRECTORY": "/dev/null/a"}, id="below a file"),
    ],
)
def test_user_without_a_home_has_a_folder_of_its_own(environ):
    """Where nothing of the user's can be written, a folder with its number in the name can."""
    assert folder(environ).parts == ("/", "var", "tmp", f"flask-resilience-{os.geteuid()}")


def test_nothing_is_made(home):
    """Choosing makes no folder."""
    default_path("shop", "", {"HOME": str(home)})
    assert list(home.iterdir()) == []
