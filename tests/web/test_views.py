"""Views, columns and texts, asked plainly and through the client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from flask.testing import FlaskClient

from materializationengine.storage.engines import Cluster

from . import frozen
from .asking import API, post, read

STACK = f"{API}/datastack/{frozen.DATASTACK}"
VIEW = """
CREATE VIEW cells AS
SELECT n.id, n.pt_root_id, n.volume, n.pt_position, c.cell_type, timestamp '2026-01-02 03:04:05.25' AS seen, n.valid
FROM nuclei n JOIN cell_types c ON c.target_id = n.id
"""


@pytest.fixture(scope="module", autouse=True)
def views(cluster: Cluster, rows: frozen.Rows) -> Iterator[None]:
    """A view in version 1, one that only the registry knows, and one of somebody else's."""
    _run(cluster, f"{frozen.DATASTACK}__mat1", VIEW)
    insert = (
        "INSERT INTO analysisviews (table_name, description, datastack_name, voxel_resolution_x, voxel_resolution_y,"
        " voxel_resolution_z, notice_text, live_compatible) VALUES ('{}', 'what', '{}', 64, 64, 40, 'mind', false)"
    )
    for name, stack in (("cells", frozen.DATASTACK), ("gone", frozen.DATASTACK), ("secret", "other")):
        _run(cluster, frozen.VOLUME, insert.format(name, stack))
    yield
    _run(cluster, frozen.VOLUME, "DELETE FROM analysisviews")
    _run(cluster, f"{frozen.DATASTACK}__mat1", "DROP VIEW cells")


def _run(cluster: Cluster, database: str, statement: str) -> None:
    with closing(cluster.raw(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)


def joined(rows: frozen.Rows) -> list[frozen.Row]:
    nuclei = {row["id"]: row for row in rows["nuclei"]}
    return [{**nuclei[cell["target_id"]], "cell_type": cell["cell_type"]} for cell in rows["cell_types"]]


def test_views_are_listed_where_they_are(client: FlaskClient) -> None:
    assert list(client.get(f"{STACK}/version/1/views").json) == ["cells"]
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
    assert client.get(f"{STACK}/version/1/views/schemas").json == {"cells": words}
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
    refused = post(client, path, {"after": ""})
    assert refused.status_code == 400 and refused.json["details"]["field"] == "after"
    counted = read(post(client, path, {}, "count=true")).to_pylist()
    assert counted == [{"count": len(rows["cell_types"])}]


def test_the_client_reads_views(drive: Callable[..., Any], rows: frozen.Rows) -> None:
    told = drive("views.py", view="cells")
    assert told["names"] == ["cells"]
    assert told["ids"] == sorted(row["id"] for row in joined(rows))
    assert told["typed"] == sorted(row["id"] for row in joined(rows) if row["cell_type"] == "a")
    assert told["dtypes"]["seen"] == "datetime64[ns, UTC]" and told["dtypes"]["volume"] == "Float32"
    assert told["dtypes"]["pt_root_id"] == "Int64"
    assert told["record"]["table_name"] == "cells" and told["record"]["voxel_resolution_x"] == 64.0
    assert told["schemas"] == {"cells": told["columns"]} and told["columns"]["pt_position"] == {"type": "SpatialPoint"}
