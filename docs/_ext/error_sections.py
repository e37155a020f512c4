"""A directive that documents the catalogue of errors: ``.. errors::``.

Each code has a section whose anchor is the code in lower case, which the ``documentation_url`` of
an error points at.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from flask_resilience.error_catalogue import CATALOGUE, ErrorEntry


class ErrorSections(SphinxDirective):
    """A section for each code of the catalogue."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        text = "\n\n".join(section(entry) for entry in CATALOGUE.values())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def section(entry: ErrorEntry) -> str:
    """Return the source of the section on one code."""
    facts = {
        "Status of the answer": str(entry.http_status),
        "Category": entry.category,
        "Severity": entry.severity,
        "May work later": "yes" if entry.recoverable else "no",
        "The client reads": entry.detail,
        "What to do": entry.troubleshooting,
    }
    title = f"{entry.code}: {entry.title}"
    fields = "\n".join(f":{name}: {fact}" for name, fact in facts.items())
    return f".. _{entry.code.lower()}:\n\n{title}\n{'-' * len(title)}\n\n{fields}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("errors", ErrorSections)
    return {"parallel_read_safe": True}
