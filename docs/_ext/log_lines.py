"""A directive that documents one event's log line and holds the page to the code.

``.. log-line:: CallFinished`` takes ``field: meaning`` lines. Name, levels and types come from
:mod:`flask_resilience.telemetry.lines`; a field too many or too few is an error.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

from docutils import nodes
from rst_table import list_table
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from flask_resilience import events
from flask_resilience.call_counts import CallFigures
from flask_resilience.telemetry.lines import line

WORDS = {"str": "text", "int": "integer", "float": "number", "bool": "true or false"}
TELLING: dict[str, tuple[Any, ...]] = {
    "failed": (False, True),
    "to_state": ("closed", "open"),
    "status": (200, 500),
    "outcome": ("success", "failed"),
    "url": ("http://localhost/",),
    "error": (RuntimeError(),),
    "added": ({},),
    "fallback": (True,),
}
"""Values on which a level depends, or that a line takes apart."""
SAMPLES = {"str": ("text",), "int": (1,), "float": (1.5,), "bool": (True,)}
SAMPLES |= {"CallFigures": (CallFigures(calls=1),), "Span": (None,)}
ORDER = ("debug", "info", "warning", "error")
EXCEPTION = {"exception_type": "", "exception_message": "", "exception_stacktrace": ""}


def samples(kind: type[Any]) -> Iterator[Any]:
    """Yield an event for each combination of values on which its level may depend."""
    fields = dataclasses.fields(kind)
    choices = [
        TELLING[one.name] if one.name in TELLING else SAMPLES[str(one.type).split(" ")[0]]
        for one in fields
    ]
    for values in product(*choices):
        yield kind(**dict(zip((one.name for one in fields), values, strict=True)))


class LogLine(SphinxDirective):
    """One event's line: its name, its levels and a table of its fields."""

    has_content = True
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        lines = [line(event) for event in samples(getattr(events, self.arguments[0]))]
        name, _, fields = lines[0]
        fields = EXCEPTION if "exc_info" in fields else fields
        told = dict(re.findall(r"^(\w+): (.+(?:\n .+)*)", "\n".join(self.content), re.MULTILINE))
        if list(told) != list(fields):
            raise self.error(
                f"{name} has the fields {list(fields)}; the page tells of {list(told)}."
            )
        levels = sorted({level for _, level, _ in lines}, key=ORDER.index)
        rows = [
            (f"``{field}``", WORDS[type(fields[field]).__name__], " ".join(meaning.split()))
            for field, meaning in told.items()
        ]
        head = ("Field", "Type", "Meaning")
        text = f":Level: {' or '.join(levels)}\n\n{list_table('35 15 50', head, *rows)}"
        return self.parse_text_to_nodes(text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("log-line", LogLine)
    return {"parallel_read_safe": True}
