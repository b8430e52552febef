"""Versions and tables, in the words of both API generations."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from materializationengine import __version__

from . import frozen

API = "/materialize/api"
STACK = f"/datastack/{frozen.DATASTACK}"
pytestmark = pytest.mark.usefixtures("rows")


def test_what_runs_here(client: FlaskClient) -> None:
    assert client.get("/materialize/api/versions").json == [2, 3]
    assert client.get("/materialize/version").json == __version__
    assert client.get("/annotation/api/versions").json == [2]


@pytest.mark.parametrize("generation", ["v2", "v3"])
def test_versions_that_can_be_read(client: FlaskClient, generation: str) -> None:
    path = f"{API}/{generation}{STACK}/versions"
    assert client.get(path).json == [1, 2]
    assert client.get(f"{path}?expired=False").json == [1, 2]
    assert client.get(f"{path}?expired=True").json == [1, 2, 4]


def test_a_version_record_has_six_digits_and_no_zone(client: FlaskClient) -> None:
    record = client.get(f"{API}/v3{STACK}/version/1").json
    assert record == {
        "id": record["id"],
        "datastack": frozen.DATASTACK,
        "version": 1,
        "time_stamp": "2026-01-02T03:04:05.000006",
        "valid": True,
        "expires_on": "2036-01-01T00:00:00.000000",
        "parent_version": None,
        "status": "AVAILABLE",
        "is_merged": True,
    }
    assert client.get(f"{API}/v3{STACK}/version/3").json["status"] == "RUNNING"
    assert [each["version"] for each in client.get(f"{API}/v3{STACK}/metadata").json] == [1, 2]


def test_tables_of_a_version(client: FlaskClient) -> None:
    assert client.get(f"{API}/v2{STACK}/version/1/tables").json == sorted(frozen.SCHEMAS)
    assert client.get(f"{API}/v3/datastack/{frozen.PUBLIC}/version/5/tables").json == ["cell_types", "nuclei"]
    records = client.get(f"{API}/v3{STACK}/version/1/tables/metadata").json
    assert [(each["table_name"], each["schema"]) for each in records] == sorted(frozen.SCHEMAS.items())
    assert all("annotation_table" not in each for each in records)


def test_a_table_record_of_v2_names_the_segmentation_table(client: FlaskClient) -> None:
    path = f"{STACK}/version/1/table/synapses/metadata"
    old, new = client.get(f"{API}/v2{path}").json, client.get(f"{API}/v3{path}").json
    assert (old["table_name"], old["annotation_table"]) == (f"synapses__{frozen.PCG}", "synapses")
    assert new["table_name"] == "synapses" and "annotation_table" not in new and "deleted" not in new
    assert [new[f"voxel_resolution_{axis}"] for axis in "xyz"] == [4.0, 4.0, 40.0]
    assert new["last_updated"] == "2026-01-02T03:04:05.000006"
    assert new["pcg_table_name"] == frozen.PCG
    assert client.get(f"{API}/v3{STACK}/version/1/table/cell_types/metadata").json["reference_table"] == "nuclei"


def test_an_owner_s_notice_is_a_warning(client: FlaskClient) -> None:
    answer = client.get(f"{API}/v3{STACK}/version/1/table/nuclei/metadata")
    assert answer.headers["Warning"] == '299 - "Table Owner Notice on nuclei: read the paper"'


def test_counts_come_from_the_registry_or_from_the_version_itself(
    client: FlaskClient, rows: dict[str, list[frozen.Row]]
) -> None:
    for table in frozen.SCHEMAS:
        assert client.get(f"{API}/v2{STACK}/version/1/table/{table}/count").json == len(rows[table])
    virtual = f"{API}/v3/datastack/{frozen.PUBLIC}/version/5/table/nuclei/count"
    assert client.get(virtual).json == len(rows["nuclei"])


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        (f"{API}/v3/datastack/nosuch/versions", 404, "unknown_datastack"),
        (f"{API}/v3{STACK}/version/77", 404, "unknown_version"),
        (f"{API}/v3{STACK}/version/-1", 404, "unknown_version"),
        (f"{API}/v3{STACK}/version/1/table/nosuch/metadata", 404, "unknown_table"),
        (f"{API}/v3/datastack/{frozen.PUBLIC}/version/5/table/synapses/metadata", 404, "unknown_table"),
        (f"{API}/v3{STACK}/versions?expired=maybe", 400, "bad_request"),
        ("/materialize/nosuch", 404, "not_found"),
    ],
)
def test_a_no_is_one_json_object(client: FlaskClient, path: str, status: int, word: str) -> None:
    answer = client.get(path)
    assert answer.status_code == status and answer.content_type == "application/json"
    assert answer.json["code"] == status and answer.json["error"] == word
    assert answer.json["message"] and "Traceback" not in answer.text
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]


def test_a_wrong_method_keeps_its_allow_header(client: FlaskClient) -> None:
    answer = client.delete("/materialize/version")
    assert answer.status_code == 405 and "GET" in answer.headers["Allow"] and answer.json["code"] == 405
