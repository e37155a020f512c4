"""How Sphinx builds the documentation; it needs no network."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "flask-resilience"
author = "The flask-resilience maintainers"
project_copyright = f"2026, {author}"
release = version = version_of(project)

extensions = ["sphinx.ext.autodoc", "settings_table", "error_sections", "log_lines"]
exclude_patterns = ["_build", "_ext"]
smartquotes = False
html_theme = "furo"
html_title = f"{project} {release}"

autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
