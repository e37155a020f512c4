"""The JSON Schemas of log lines: a checked-in file for each preset."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "schemas"
DEFAULT = "structlog"


def presets() -> list[str]:
    """Return the presets that have a schema."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def schema(preset: str) -> str:
    """Return the JSON Schema of a preset's lines, as text."""
    return (FOLDER / f"{preset}.json").read_text(encoding="utf-8")
