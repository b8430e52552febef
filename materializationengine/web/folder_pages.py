"""Addresses as a person, or the viewer while one types, walks through them: folders of links."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Response, make_response, render_template

from .arguments import MATERIALIZE, Blueprint, generations
from .auth import needs
from .datastack_page import POLICY
from .precomputed import drawing, layout_of
from .table_search import found_tables

blueprint = Blueprint(
    "folder_pages", __name__, url_prefix=MATERIALIZE, template_folder="templates", description="Folders of links"
)

_STACK = "/datastack/<datastack>"


@generations(blueprint, f"{_STACK}/table/", 3)
@needs("view")
def list_folder_of_tables(datastack: str) -> Response:
    """Links to the tables of a datastack."""
    return _folder(f"Tables of {datastack}", (f"{each.annotation.table_name}/" for each in found_tables(datastack, "")))


@generations(blueprint, f"{_STACK}/table/<table>/", 3)
@needs("view")
def list_folder_of_table(datastack: str, table: str) -> Response:
    """Links to what Neuroglancer reads of a table."""
    drawing(datastack, None, table)
    return _folder(f"{table} of {datastack}", ["info", "precomputed/"])


@generations(blueprint, f"{_STACK}/table/<table>/precomputed/", 3)
@needs("view")
def list_folder_of_annotations(datastack: str, table: str) -> Response:
    """Links to the annotations of a table, as its `info` names them."""
    layout = layout_of(drawing(datastack, None, table))
    roots = (f"{each.name}/" for each in layout.collection.relationships)
    return _folder(f"Annotations of {table}", ["info", "by_id/", *(f"{each.key}/" for each in layout.levels), *roots])


def _folder(title: str, links: Iterable[str]) -> Response:
    page = make_response(render_template("folder.html", title=title, links=list(links)))
    page.headers["Content-Security-Policy"] = POLICY
    return page
