"""Writing annotations: what a client sends, what lies in the table, and at which moments."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from materializationengine.storage.engines import Cluster

from . import frozen

BASE = f"/annotation/api/v2/aligned_volume/{frozen.VOLUME}/table"
NUMBERS = itertools.count(1)
pytestmark = pytest.mark.usefixtures("rows")


def metadata(**changes: Any) -> dict[str, Any]:
    return {
        "description": "d",
        "voxel_resolution_x": 4.0,
        "voxel_resolution_y": 4.0,
        "voxel_resolution_z": 40.0,
        "read_permission": "PUBLIC",
        "write_permission": "PRIVATE",
        "user_id": 3,
        "notice_text": "",
        **changes,
    }


@pytest.fixture
def make(client: FlaskClient) -> Any:
    def create(schema: str, **changes: Any) -> str:
        name = f"table_{next(NUMBERS)}"
        answer = client.post(BASE, json={"schema_type": schema, "table_name": name, "metadata": metadata(**changes)})
        assert answer.status_code == 200 and answer.json == name, answer.text
        return name

    return create


def send(client: FlaskClient, method: str, table: str, status: int = 200, **body: Any) -> Any:
    answer = client.open(f"{BASE}/{table}/annotations", method=method, json=body)
    assert answer.status_code == status, answer.text
    return answer.json


def get(client: FlaskClient, table: str, ids: list[int]) -> list[dict[str, Any]]:
    answer = client.get(f"{BASE}/{table}/annotations?annotation_ids={','.join(map(str, ids))}")
    assert answer.status_code == 200, answer.text
    return answer.json


@contextmanager
def cursor(cluster: Cluster) -> Iterator[Any]:
    with closing(cluster.raw(frozen.VOLUME)) as connection, connection, connection.cursor() as found:
        yield found


def nucleus(x: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"volume": x, "pt": {"position": [x, 2, 3]}, **more}


def test_a_row_goes_in_and_comes_out(client: FlaskClient, make: Any) -> None:
    table = make("nucleus_detection")
    ids = send(
        client,
        "POST",
        table,
        annotations=[nucleus(1.5), {"pt": {"position": [4, 5, 6]}, "bb_start": {"position": [0, 0, 1]}}],
    )
    assert ids == [1, 2]
    second, first = get(client, table, [2, 1])
    assert (first["pt_position"], first["volume"], first["bb_start_position"], first["valid"]) == (
        [1.5, 2, 3],
        1.5,
        None,
        True,
    )
    assert (second["bb_start_position"], second["volume"], second["deleted"]) == ([0, 0, 1], None, None)
    assert first["created"] == second["created"] and datetime.fromisoformat(first["created"])
    assert client.get(f"{BASE}/{table}/count").json == 2


def test_an_update_closes_the_old_row_and_opens_the_new_one_at_one_instant(client: FlaskClient, make: Any) -> None:
    table = make("nucleus_detection")
    first, other = send(client, "POST", table, annotations=[nucleus(1, bb_start={"position": [7, 8, 9.5]}), nucleus(2)])
    answer = send(
        client, "PUT", table, annotations=[{"id": first, "pt": {"position": [9, 9, 9]}}, {"id": other, "volume": None}]
    )
    assert set(answer) == {str(first), str(other)}
    old, new, other_new = get(client, table, [first, answer[str(first)], answer[str(other)]])
    assert old["deleted"] == new["created"] > old["created"]
    assert (old["superceded_id"], old["valid"], new["superceded_id"], new["deleted"]) == (new["id"], False, None, None)
    assert (new["pt_position"], new["volume"], new["bb_start_position"]) == ([9, 9, 9], 1.0, [7, 8, 9.5])
    assert (other_new["pt_position"], other_new["volume"]) == ([2, 2, 3], None)
    assert client.get(f"{BASE}/{table}/count").json == 2


def test_what_was_replaced_names_its_successor(client: FlaskClient, make: Any) -> None:
    table = make("nucleus_detection")
    first, other = send(client, "POST", table, annotations=[nucleus(), nucleus()])
    successor = send(client, "PUT", table, annotations=[{"id": first, "volume": 5.0}])[str(first)]
    again = send(client, "PUT", table, 409, annotations=[{"id": other, "volume": 6.0}, {"id": first, "volume": 6.0}])
    assert str(successor) in again["message"] and again["details"]["superceded_id"] == successor
    assert str(successor) in send(client, "DELETE", table, 409, annotation_ids=[first])["message"]
    # Nothing of a refused call stays.
    assert get(client, table, [other])[0]["deleted"] is None
    assert send(client, "DELETE", table, annotation_ids=[other]) == [other]
    assert "was deleted" in send(client, "PUT", table, 409, annotations=[{"id": other, "volume": 1.0}])["message"]


def test_a_deleted_row_keeps_its_first_moment(client: FlaskClient, make: Any) -> None:
    table = make("nucleus_detection")
    (row,) = send(client, "POST", table, annotations=[nucleus()])
    assert send(client, "DELETE", table, annotation_ids=[row]) == [row]
    gone = get(client, table, [row])[0]
    assert send(client, "DELETE", table, annotation_ids=[row]) == [row]
    assert get(client, table, [row])[0] == gone and gone["deleted"] and gone["valid"] is False
    assert client.get(f"{BASE}/{table}/count").json == 0


def test_ids_that_clients_give_are_kept_and_passed(client: FlaskClient, make: Any) -> None:
    table = make("nucleus_detection")
    given = [nucleus(id=900), nucleus(), nucleus(id=2)]
    assert send(client, "POST", table, annotations=given) == [900, 901, 2]
    assert send(client, "POST", table, annotations=[nucleus()]) == [902]
    twice = send(client, "POST", table, 400, annotations=[nucleus(), nucleus(id=2)])
    assert twice["details"]["field"] == "id" and "2" in twice["message"]
    assert client.get(f"{BASE}/{table}/count").json == 4


def test_an_id_of_64_bits(client: FlaskClient, make: Any) -> None:
    table = make("nucleus_detection")
    big = 2**62 + 12345
    assert send(client, "POST", table, annotations=[nucleus(id=big)]) == [big]
    assert send(client, "PUT", table, annotations=[{"id": big, "volume": 1.0}]) == {str(big): big + 1}


def test_every_type_of_value(client: FlaskClient, make: Any) -> None:
    table = make("compartment_proofread_status_strategy")
    sent = {
        "pt": {"position": [1, 2, 3]},
        "valid_id": 2**60 + 1,
        "status_dendrite": True,
        "status_axon": False,
        "strategy_dendrite": 'it\'s \\ "odd" \u00e9',
        "strategy_axon": "",
    }
    (row,) = send(client, "POST", table, annotations=[sent])
    (found,) = get(client, table, [row])
    assert {name: found[name] for name in sent if name != "pt"} == {
        name: value for name, value in sent.items() if name != "pt"
    }


def test_who_wrote_is_the_server_s_to_say(client: FlaskClient, make: Any) -> None:
    table = make("bound_tag_user")
    (row,) = send(client, "POST", table, annotations=[{"pt": {"position": [1, 2, 3]}, "tag": "t", "user_id": 77}])
    assert get(client, table, [row])[0]["user_id"] == 0


def test_references_point_to_rows_that_are_there(client: FlaskClient, make: Any, cluster: Cluster) -> None:
    target = make("nucleus_detection")
    send(client, "POST", target, annotations=[nucleus()])
    table = make("simple_reference", table_metadata={"reference_table": target, "track_target_id_updates": None})
    assert send(client, "POST", table, annotations=[{"target_id": 1}]) == [1]
    refused = send(client, "POST", table, 400, annotations=[{"target_id": 1}, {"target_id": 55}])
    assert refused["details"]["field"] == "target_id" and target in refused["message"] and "55" in refused["message"]
    with cursor(cluster) as found:
        found.execute("SELECT convalidated FROM pg_constraint WHERE conname = %s", (f"{table}_target_id_fkey",))
        assert found.fetchall() == [(True,)]


def test_a_call_beyond_ten_thousand(client: FlaskClient, make: Any) -> None:
    table = make("nucleus_detection")
    refused = send(client, "POST", table, 413, annotations=[nucleus()] * 10_001)
    assert "10000" in refused["message"]
    assert send(client, "POST", table, annotations=[nucleus()] * 10_000) == list(range(1, 10_001))


@pytest.mark.parametrize(
    ("annotation", "hint"),
    [
        ({"volume": 1.0}, "pt is missing"),
        (nucleus(vol=1), "vol is not a field"),
        ({"pt": {"position": [1, 2]}}, "pt.position"),
        (nucleus(pt_root_id=5), "looked up by the engine"),
        ({"pt": {"position": [1, 2, 3]}, "volume": "big"}, "volume must be a number"),
        (nucleus(id=1.5), "id must be an integer"),
    ],
)
def test_a_row_that_does_not_fit_leaves_nothing(client: FlaskClient, make: Any, annotation: Any, hint: str) -> None:
    table = make("nucleus_detection")
    refused = send(client, "POST", table, 400, annotations=[nucleus(), annotation])
    assert hint in refused["message"] and "annotations[1]" in refused["message"]
    assert client.get(f"{BASE}/{table}/count").json == 0


@pytest.mark.parametrize(
    ("body", "status", "hint"),
    [
        ({"schema_type": "synaps"}, 404, "did you mean 'synapse'"),
        ({"table_name": 'a"b'}, 400, "lower-case"),
        ({"table_name": "a" * 80}, 400, "80 characters"),
        ({"table_name": "synapses"}, 409, "exists"),
        ({"metadata": {}}, 400, "description"),
        ({"metadata": metadata(voxel_resolution_x=0)}, 400, "voxel_resolution_x"),
        ({"metadata": metadata(read_permission="ANY")}, 400, "read_permission"),
        ({"schema_type": "simple_reference"}, 400, "name it"),
        (
            {"schema_type": "simple_reference", "metadata": metadata(table_metadata={"reference_table": "nosuch"})},
            404,
            "nosuch",
        ),
        (
            {"schema_type": "simple_reference", "metadata": metadata(table_metadata={"reference_table": "refused"})},
            400,
            "itself",
        ),
        ({"metadata": metadata(table_metadata={"reference_table": "nuclei"})}, 400, "leave reference_table out"),
    ],
)
def test_a_table_that_cannot_be_made_leaves_nothing(
    client: FlaskClient, body: dict[str, Any], status: int, hint: str
) -> None:
    asked = {"schema_type": "synapse", "table_name": "refused", "metadata": metadata(), **body}
    answer = client.post(BASE, json=asked)
    assert answer.status_code == status and hint in answer.json["message"], answer.text
    assert "refused" not in client.get(BASE).json


def test_a_table_is_described_changed_and_removed(client: FlaskClient, make: Any) -> None:
    table = make("bound_tag", notice_text="careful")
    found = client.get(f"{BASE}/{table}")
    assert found.json["schema_type"] == "bound_tag" and found.json["user_id"] == "3"
    assert found.json["voxel_resolution_z"] == 40.0 and "careful" in found.headers["Warning"]
    changed = client.put(BASE, json={"table_name": table, "metadata": {"description": "new", "notice_text": ""}})
    assert changed.json["description"] == "new" and client.get(f"{BASE}/{table}").json["description"] == "new"
    fixed = client.put(BASE, json={"table_name": table, "metadata": {"voxel_resolution_x": 8.0}})
    assert fixed.status_code == 400 and fixed.json["details"]["field"] == "metadata.voxel_resolution_x"
    assert client.delete(f"{BASE}/{table}").json == table
    assert table not in client.get(BASE).json and client.get(f"{BASE}/{table}").status_code == 404
    send(client, "POST", table, 404, annotations=[])
    again = client.post(BASE, json={"schema_type": "bound_tag", "table_name": table, "metadata": metadata()})
    assert again.status_code == 409


def test_unknown_rows_tables_and_volumes(client: FlaskClient, make: Any) -> None:
    table = make("bound_tag")
    assert client.get(f"{BASE}/{table}/annotations?annotation_ids=5").status_code == 404
    assert client.get(f"{BASE}/{table}/annotations?annotation_ids=x").status_code == 400
    assert client.get(f"{BASE}/{table}/annotations?annotation_ids={2**63}").status_code == 400
    assert "5" in send(client, "PUT", table, 404, annotations=[{"id": 5, "tag": "x"}])["message"]
    send(client, "DELETE", table, 404, annotation_ids=[5])
    assert client.get(f"{BASE}/nosuch").status_code == 404
    elsewhere = client.get("/annotation/api/v2/aligned_volume/nosuch/table")
    assert elsewhere.status_code == 404 and frozen.VOLUME in elsewhere.json["message"]


def test_nothing_in_a_call_is_nothing_done(client: FlaskClient, make: Any) -> None:
    table = make("nucleus_detection")
    assert send(client, "POST", table, annotations=[]) == []
    assert send(client, "PUT", table, annotations=[]) == {}
    assert send(client, "DELETE", table, annotation_ids=[]) == []


def test_the_stamp_lies_after_the_transaction_got_its_id(client: FlaskClient, make: Any, cluster: Cluster) -> None:
    """A freeze waits for sessions that have an id; one that stamped before it had one would be missed."""
    from materializationengine.storage import annotations

    table = make("nucleus_detection")
    with annotations.writing(cluster, frozen.VOLUME) as connection:
        held = annotations.hold(connection, table)
        (pid,) = connection.rows("SELECT pg_backend_pid()")[0]
        with cursor(cluster) as watcher:
            watcher.execute(
                "SELECT backend_xid IS NOT NULL, xact_start <= %s::timestamp AT TIME ZONE 'utc'"
                " FROM pg_stat_activity WHERE pid = %s",
                (held.stamp, pid),
            )
            assert watcher.fetchall() == [(True, True)]


def test_one_writer_of_a_table_at_a_time(client: FlaskClient, make: Any, cluster: Cluster) -> None:
    from materializationengine.storage import annotations

    table = make("nucleus_detection")
    with annotations.writing(cluster, frozen.VOLUME) as connection:
        annotations.hold(connection, table)
        with cursor(cluster) as other:
            other.execute(
                "SELECT FROM annotation_table_metadata WHERE table_name = %s FOR NO KEY UPDATE SKIP LOCKED", (table,)
            )
            assert other.fetchall() == []
            other.execute(
                "SELECT FROM annotation_table_metadata WHERE table_name = %s FOR KEY SHARE SKIP LOCKED", (table,)
            )
            assert other.fetchall() == [()]
