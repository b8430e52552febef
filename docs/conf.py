"""Sphinx: the manual, from Markdown, reStructuredText and docstrings. Needs the package, no database."""

from __future__ import annotations

from materializationengine import __version__

project = "Materialization Engine"
copyright = "the authors of the Materialization Engine"  # noqa: A001  (Sphinx asks for this name)
release = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser"]
exclude_patterns = ["_build"]
# Docstrings mark code by single backticks.
default_role = "code"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"Materialization Engine {release}"
