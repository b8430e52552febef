"""Views, columns and texts, asked plainly and through the client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from materializationengine.config import Settings
from materializationengine.storage.engines import Cluster
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts

from . import frozen
from .asking import API, post, read

STACK = f"{API}/datastack/{frozen.DATASTACK}"
VIEW = """
CREATE VIEW cells AS
SELECT n.id, n.pt_root_id, n.volume, n.pt_position, c.cell_type, timestamp '2026-01-02 03:04:05.25' AS seen, n.valid
FROM nuclei n JOIN cell_types c ON c.target_id = n.id
"""
FAR = "CREATE VIEW far AS SELECT id, timestamp '9999-12-31' AS until FROM nuclei"
ALIKE = "CREATE VIEW alike AS SELECT c.cell_type, n.pt_position FROM nuclei n JOIN cell_types c ON c.target_id = n.id"
BARE = "CREATE VIEW bare AS SELECT pt_position FROM nuclei UNION ALL SELECT pt_position FROM nuclei"
"""Rows that nothing but their places tells apart, and rows that nothing does."""


@pytest.fixture(scope="module", autouse=True)
def views(cluster: Cluster, rows: frozen.Rows) -> Iterator[None]:
    """A view in version 1, one that only the registry knows, and one of somebody else's."""
    for statement in (VIEW, ALIKE, BARE, FAR):
        _run(cluster, f"{frozen.DATASTACK}__mat1", statement)
    insert = (
        "INSERT INTO analysisviews (table_name, description, datastack_name, voxel_resolution_x, voxel_resolution_y,"
        " voxel_resolution_z, notice_text, live_compatible) VALUES ('{}', 'what', '{}', 64, 64, 40, 'mind', false)"
    )
    for name in ("cells", "alike", "bare", "far", "gone"):
        _run(cluster, frozen.VOLUME, insert.format(name, frozen.DATASTACK))
    _run(cluster, frozen.VOLUME, insert.format("secret", "other"))
    yield
    _run(cluster, frozen.VOLUME, "DELETE FROM analysisviews")
    _run(cluster, f"{frozen.DATASTACK}__mat1", "DROP VIEW cells, alike, bare, far")


def _run(cluster: Cluster, database: str, statement: str) -> None:
    with closing(cluster.raw(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)


def joined(rows: frozen.Rows) -> list[frozen.Row]:
    nuclei = {row["id"]: row for row in rows["nuclei"]}
    return [{**nuclei[cell["target_id"]], "cell_type": cell["cell_type"]} for cell in rows["cell_types"]]


def test_views_are_listed_where_they_are(client: FlaskClient) -> None:
    assert list(client.get(f"{STACK}/version/1/views").json) == ["alike", "bare", "cells", "far"]
    assert client.get(f"{STACK}/version/2/views").json == {}
    assert client.get(f"{STACK}/version/0/views").json == {}
    assert client.get(f"{STACK}/version/4/views").status_code == 410
    record = client.get(f"{STACK}/version/1/views/cells/metadata").json
    assert (record["table_name"], record["voxel_resolution_x"], record["notice_text"]) == ("cells", 64.0, "mind")
    unknown = client.get(f"{STACK}/version/1/views/secret/metadata")
    assert unknown.status_code == 404 and "cells" in unknown.json["message"]


def test_the_columns_of_views_and_tables(client: FlaskClient) -> None:
    words = client.get(f"{STACK}/version/1/views/cells/schema").json
    assert words["pt_position"] == {"type": "SpatialPoint"}
    assert words["seen"] == {"type": "string", "format": "date-time"}
    assert [words[name]["type"] for name in ("id", "volume", "cell_type", "valid")] == [
        "integer",
        "float",
        "string",
        "boolean",
    ]
    assert client.get(f"{STACK}/version/1/views/schemas").json["cells"] == words
    table = client.get(f"{STACK}/version/1/table/nuclei/schema").json
    assert list(table)[:2] == ["id", "valid"] and table["pt_position"] == {"type": "SpatialPoint"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filter_equal_dict": {"cells": {"cell_type": "a"}}},
        {"filter_spatial_dict": {"cells": {"pt_position": [[0, 0, 0], [250, 250, 250]]}}},
    ],
)
def test_rows_of_a_view(client: FlaskClient, rows: frozen.Rows, body: dict[str, Any]) -> None:
    box = "filter_spatial_dict" in body
    wanted = [
        row["id"]
        for row in joined(rows)
        if ("filter_equal_dict" not in body or row["cell_type"] == "a")
        and (not box or all(value <= 250 for value in row["pt_position"]))
    ]
    answer = post(client, "version/1/views/cells/query", body)
    table = read(answer)
    assert sorted(table["id"].to_pylist()) == sorted(wanted)
    assert str(table.schema.field("seen").type) == "timestamp[ns, tz=UTC]"
    assert answer.headers["dataframe_resolution"] == "64.0, 64.0, 40.0"
    told = post(client, "version/1/views/cells/query", {**body, "limit": 1}, "return_pyarrow=false").json
    assert told[0]["seen"] == 1767323045250


def test_pages_of_a_view_by_offset(client: FlaskClient, rows: frozen.Rows) -> None:
    path, seen = "version/1/views/cells/query", []
    for start in range(0, len(rows["cell_types"]), 40):
        seen += read(post(client, path, {"order_by": ["-volume"], "limit": 40, "offset": start})).to_pylist()
    assert sorted(row["id"] for row in seen) == sorted(row["id"] for row in joined(rows))
    counted = read(post(client, path, {}, "count=true")).to_pylist()
    assert counted == [{"count": len(rows["cell_types"])}]


@pytest.mark.parametrize("name", ["cells", "alike", "bare"])
@pytest.mark.parametrize("order", [[], ["-pt_root_id"]])
def test_pages_of_a_view_by_cursor(client: FlaskClient, rows: frozen.Rows, name: str, order: list[str]) -> None:
    path = f"version/1/views/{name}/query"
    body: dict[str, Any] = {"order_by": order if name == "cells" else [], "limit": 23}
    whole = read(post(client, path, {})).to_pylist()
    seen: list[Any] = []
    answer = post(client, path, {**body, "after": ""})
    while (cursor := answer.headers.get("X-Next-Cursor")) is not None:
        seen += read(answer).to_pylist()
        answer = post(client, path, {**body, "after": cursor})
    seen += read(answer).to_pylist()
    assert sorted(map(str, seen)) == sorted(map(str, whole)) and len(whole) > 100
    offsets = [read(post(client, path, {**body, "offset": n})).to_pylist() for n in range(0, len(whole), 23)]
    assert seen == [row for page in offsets for row in page]
    if body["order_by"]:
        roots = [row["pt_root_id"] for row in seen]
        assert roots == sorted((r for r in roots if r is not None), reverse=True) + [None] * roots.count(None)
    other = post(client, path, {**body, "after": cursor_of(client, path, body), "filter_null_dict": {}, "limit": 5})
    assert other.status_code == 200
    stranger = post(client, path, {"after": cursor_of(client, path, body), "order_by": ["pt_position"]})
    assert stranger.status_code == 400


def cursor_of(client: FlaskClient, path: str, body: dict[str, Any]) -> str:
    return str(post(client, path, {**body, "after": ""}).headers["X-Next-Cursor"])


def test_a_capped_view_goes_on_after_its_cursor(settings: Settings, rows: frozen.Rows) -> None:
    capped = create_app(replace(settings, query_limit=90))
    client, path = capped.test_client(), "version/1/views/cells/query"
    first = post(client, path, {})
    second = post(client, path, {"after": first.headers["X-Next-Cursor"]})
    found = [row["id"] for answer in (first, second) for row in read(answer).to_pylist()]
    assert first.headers["X-Row-Limit"] == "90" and "X-Next-Cursor" not in second.headers
    assert sorted(found) == sorted(row["id"] for row in joined(rows))
    parts(capped).close()


def test_a_moment_that_frames_cannot_hold(client: FlaskClient) -> None:
    path = "version/1/views/far/query"
    refused = post(client, path, {"limit": 3})
    assert refused.status_code == 400 and refused.json["details"]["field"] == "select_columns"
    assert post(client, path, {"limit": 1}, "return_pyarrow=false").json[0]["until"] == 253402214400000
    assert read(post(client, path, {"limit": 3, "select_columns": ["id"]})).num_rows == 3


def test_a_sample_of_a_view_has_no_pages(client: FlaskClient) -> None:
    refused = post(client, "version/1/views/cells/query", {"after": ""}, "random_sample=5")
    assert refused.status_code == 400 and refused.json["details"]["field"] == "random_sample"


def test_the_client_reads_views(drive: Callable[..., Any], rows: frozen.Rows) -> None:
    told = drive("views.py", view="cells")
    assert told["names"] == ["alike", "bare", "cells", "far"]
    assert told["ids"] == sorted(row["id"] for row in joined(rows))
    assert told["typed"] == sorted(row["id"] for row in joined(rows) if row["cell_type"] == "a")
    assert told["dtypes"]["seen"] == "datetime64[ns, UTC]" and told["dtypes"]["volume"] == "Float32"
    assert told["dtypes"]["pt_root_id"] == "Int64"
    assert told["record"]["table_name"] == "cells" and told["record"]["voxel_resolution_x"] == 64.0
    assert told["schemas"]["cells"] == told["columns"] and told["columns"]["pt_position"] == {"type": "SpatialPoint"}
