"""Folders of links that lead from a datastack to its annotations."""

from __future__ import annotations

import re

from flask.testing import FlaskClient

from . import frozen
from .asking import API

TABLES = f"{API}/datastack/{frozen.DATASTACK}/table/"


def links(client: FlaskClient, path: str) -> list[str]:
    answer = client.get(path)
    assert answer.status_code == 200 and answer.mimetype == "text/html", answer.text
    return re.findall(r'<a href="([^"]*)">', answer.text)


def test_links_lead_from_tables_to_what_the_viewer_reads(client: FlaskClient, rows: frozen.Rows) -> None:
    assert {f"{table}/" for table in frozen.SCHEMAS} <= set(links(client, TABLES))
    assert links(client, f"{TABLES}nuclei/") == ["info", "precomputed/"]
    parts = links(client, f"{TABLES}nuclei/precomputed/")
    assert parts[:2] == ["info", "by_id/"] and parts[-1] == "pt_root_id/"
    assert client.get(f"{TABLES}nuclei/precomputed/info").json["by_id"] == {"key": "by_id"}
    assert links(client, f"{API}/datastack/{frozen.PUBLIC}/table/") == ["cell_types/", "nuclei/"]
    assert client.get(f"{API}/datastack/{frozen.PUBLIC}/table/synapses/precomputed/").status_code == 404
