"""Where the file of an app lies that names none: a folder of this user that outlives a restart."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

FOLDER = "flask-resilience"
LONGEST_NAME = 40


def default_path(
    namespace: str,
    salt: str,
    environ: Mapping[str, str] | None = None,
    platform: str = sys.platform,
) -> Path:
    """Return where the circuits of *namespace* lie, the same for all processes of this user.

    It looks at which folders there are, and makes none. Where no folder is for this user, one in
    ``/var/tmp`` is named after it; whether somebody else made that one first is checked when the
    file is opened.

    :param salt: Tells apart apps that have the same namespace by chance.
    :param environ: ``None`` for the process's.
    """
    return _folder(os.environ if environ is None else environ, platform) / _name(namespace, salt)


def _name(namespace: str, salt: str) -> str:
    """Return a file name that people can read and that is no other app's."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", namespace)[:LONGEST_NAME].strip("-") or "app"
    both = json.dumps([namespace, salt]).encode("ascii")
    return f"{readable}-{hashlib.sha256(both).hexdigest()[:10]}.sqlite3"


def _folder(environ: Mapping[str, str], platform: str) -> Path:
    for folder in _own_folders(environ, platform):
        if folder.is_absolute() and _is_usable(folder):
            return folder / FOLDER
    if platform == "win32":
        return Path(environ.get("TEMP", r"C:\Windows\Temp")) / FOLDER
    return Path("/var/tmp", f"{FOLDER}-{os.geteuid()}")  # noqa: S108  # checked when opened


def _own_folders(environ: Mapping[str, str], platform: str) -> Iterator[Path]:
    """Yield the folders where this user's programs keep what they know, best first.

    Source: systemd.exec(5), "StateDirectory="; XDG Base Directory Specification 0.8.
    """
    yield Path(environ.get("STATE_DIRECTORY", "").split(":")[0])
    yield Path(environ.get("XDG_STATE_HOME", ""))
    if platform == "win32":
        yield Path(environ.get("LOCALAPPDATA", ""))
        return
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    if os.path.isdir(home):
        parts = ("Library", "Application Support") if platform == "darwin" else (".local", "state")
        yield home.joinpath(*parts)


def _is_usable(folder: Path) -> bool:
    """Say whether this user may write in *folder*, or may make it."""
    nearest = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
    return os.path.isdir(nearest) and os.access(nearest, os.W_OK | os.X_OK)
