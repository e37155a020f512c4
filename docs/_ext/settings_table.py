"""Directives that show settings as the package holds them: key, default, range and meaning.

``.. settings:: retry_*`` shows the keys of ``app.config`` that match one of the patterns, all of
them without any; ``.. client-settings::`` does the same for the settings of one client.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

from docutils import nodes
from rst_table import list_table
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from flask_resilience import settings

IMPORT_NAME = "the app's import name"


def shown(value: Any) -> str:
    """Return a default as a reader would type it."""
    if value == IMPORT_NAME:
        return IMPORT_NAME
    if isinstance(value, frozenset):
        return " ".join(str(item) for item in sorted(value))
    return f"``{value:g}``" if isinstance(value, float) else f"``{value!r}``"


def loaded() -> Iterator[tuple[str, str, str, str, str]]:
    """Yield name, section, default, range and meaning of every setting, in the code's order."""
    app = settings.load_settings({}, {}, IMPORT_NAME)
    sections = {settings.APP: app, settings.CALL: app.call}
    sections |= {settings.RETRY: app.call.retry, settings.BREAKER: app.call.breaker}
    for section, values in sections.items():
        for name, field in section.fields().items():
            default, rule = shown(getattr(values, field.name)), str(field.metadata["rule"])
            yield name, section.prefix, default, rule, field.metadata["meaning"]


class SettingsTable(SphinxDirective):
    """A table of settings: those of the app, or of one client."""

    optional_arguments = 20

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        of_app = self.name == "settings"
        known = settings.app_fields() if of_app else settings.client_fields()
        rows = [
            (f"``{self.key(name, section)}``", default, rule, meaning)
            for name, section, default, rule, meaning in loaded()
            if name in known and any(fnmatch(name, one) for one in self.arguments or ["*"])
        ]
        if not rows:
            raise self.error(f"No setting matches {self.arguments}.")
        head = ("Key" if of_app else "Setting", "Default", "Unit and range", "Meaning")
        return self.parse_text_to_nodes(list_table("34 16 26 24", head, *rows))

    def key(self, name: str, section: str) -> str:
        """Return what the reader writes: a key of the app, or a path within the client's."""
        if self.name == "settings":
            return settings.PREFIX + name.upper()
        return name.replace(section, section.replace("_", "."), 1) if section else name


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("settings", SettingsTable)
    app.add_directive("client-settings", SettingsTable)
    return {"parallel_read_safe": True}
