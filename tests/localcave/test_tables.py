"""A name for a table as it was at a moment; nodes and points; packed answers; the clock; bad requests."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import requests

from .conftest import Server, Starter

BIRTH = 1767225600.0
TABLE = "/segmentation/api/v1/table/small_pcg"
VIRTUAL = "/segmentation/api/v1/table/small_v1"
CAP = BIRTH + 20 * 86400


@pytest.fixture(scope="module")
def server(start: Starter, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Server:
    state = tmp_path_factory.mktemp("virtual")
    running = start(state)
    running.admin("POST", "worlds", {"folder": str(world), "datastack": "small"})
    made = {"name": "small_v1", "table": "small_pcg", "until": "2026-01-21T00:00:00+00:00"}
    running.admin("POST", "virtual_tables", made)
    running.stop()
    return start(state)  # it is remembered


@pytest.fixture(scope="module")
def ids(world: Path) -> np.ndarray:
    return np.load(world / "graph/supervoxels.npy")


def roots(server: Server, ids: np.ndarray, path: str, **when: float) -> list[int]:
    answer = server.call("POST", f"{path}/roots_binary", params=when, data=ids.tobytes())
    return np.frombuffer(answer.content, "<u8").tolist()


def test_moments_are_capped(server: Server, ids: np.ndarray) -> None:
    then = roots(server, ids, TABLE, timestamp=CAP)
    assert roots(server, ids, VIRTUAL) == then
    assert roots(server, ids, VIRTUAL, timestamp=CAP + 10**6) == then
    assert roots(server, ids, TABLE) != then
    early = roots(server, ids, TABLE, timestamp=BIRTH)
    assert roots(server, ids, VIRTUAL, timestamp=BIRTH) == early
    window = {"timestamp_past": BIRTH, "timestamp_future": CAP + 10**7}
    capped = server.call("GET", f"{VIRTUAL}/delta_roots", params=window).json()
    real = server.call("GET", f"{TABLE}/delta_roots", params=window).json()
    assert 0 < len(capped["new_roots"]) < len(real["new_roots"])


def test_edits_and_later_nodes_are_refused(server: Server, ids: np.ndarray) -> None:
    for path in ("merge", "split", "undo", "redo"):
        assert server.call("POST", f"{VIRTUAL}/{path}", json=[]).status_code == 401
    then = set(roots(server, ids, VIRTUAL))
    late = next(root for root in roots(server, ids, TABLE) if root not in then)
    assert server.call("GET", f"{VIRTUAL}/node/{late}/leaves").status_code == 401
    assert server.call("GET", f"{VIRTUAL}/root/{late}/lineage_graph").status_code == 401
    assert server.call("GET", f"{VIRTUAL}/node/{then.pop()}/leaves").status_code == 200


def test_names_are_checked(server: Server) -> None:
    good = {"name": "other", "table": "small_pcg", "until": "2026-01-21"}
    for wrong in ({"name": "small_pcg"}, {"name": "a b"}, {"until": "soon"}):
        assert server.call("POST", "/localcave/virtual_tables", json={**good, **wrong}).status_code == 400
    assert server.call("POST", "/localcave/virtual_tables", json={**good, "table": "none"}).status_code == 404
    assert list(server.admin("GET", "virtual_tables")) == ["small_v1"]


def test_answers_are_packed_when_wished(server: Server, ids: np.ndarray) -> None:
    path = f"{TABLE}/roots_binary?timestamp={BIRTH}"
    plain = server.call("POST", path, data=ids.tobytes())
    assert "Content-Encoding" not in plain.headers
    server.admin("PUT", "settings", {"gzip": True})
    raw = requests.post(server.url + path, data=ids.tobytes(), stream=True, timeout=10)
    assert raw.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(raw.raw.read(decode_content=False)) == plain.content
    bare = server.call("POST", path, data=ids.tobytes(), headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in bare.headers
    server.admin("PUT", "settings", {"gzip": False})
    for wrong in ({"gzip": 1}, {"strict": "no"}, {"public_url": 5}):
        assert server.call("PUT", "/localcave/settings", json=wrong).status_code == 400


def test_the_clock(server: Server) -> None:
    server.admin("PUT", "clock", {"now": "2030-01-01T00:00:00+00:00", "stopped": True})
    assert server.admin("GET", "clock") == {"now": "2030-01-01T00:00:00+00:00", "stopped": True}
    server.admin("PUT", "clock", {"now": "2031-01-01T00:00:00+00:00"})
    assert server.admin("GET", "clock")["now"] > "2031-01-01T00:00:00"
    assert server.admin("DELETE", "clock")["stopped"] is False
    assert server.call("PUT", "/localcave/clock", json={"now": "never"}).status_code == 400


def test_ids_as_text_wherever_they_are_numbers(server: Server, ids: np.ndarray) -> None:
    root = roots(server, ids[:1], TABLE)[0]
    window = {"timestamp_past": BIRTH, "int64_as_str": "true"}
    graph = server.call("GET", f"{TABLE}/root/{root}/lineage_graph", params=window).json()
    assert all(isinstance(node["id"], str) for node in graph["nodes"])
    assert all(isinstance(end, str) for link in graph["links"] for end in link.values())
    leaves = server.call("GET", f"{TABLE}/node/{root}/leaves?int64_as_str=1").json()["leaf_ids"]
    assert set(leaves) <= set(map(str, ids.tolist()))
    assert leaves


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "node/216172782113783808/leaves?bounds=1-2", 400),
        ("GET", "node/216172782113783809/leaves", 500),
        ("GET", "node/99999999999999999999999/children", 400),
        ("GET", "node/5/children", 500),
        ("GET", "node/5/subgraph", 500),
        ("GET", "l2_chunk_children/5", 400),
        ("GET", "root/5/change_log", 500),
        ("GET", "operation_details", 400),
        ("GET", "operation_details?operation_ids=x", 400),
        ("GET", "valid_nodes", 400),
        ("GET", "delta_roots?timestamp_past=soon", 400),
        ("GET", "delta_roots?timestamp_past=1e300", 400),
        ("POST", "minimal_covering_nodes", 400),
        ("POST", "graph/find_path", 400),
        ("POST", "roots_from_coords", 400),
        ("GET", "tabular_change_log_recent?timestamp=x", 400),
        ("GET", "user_operations?user_id=x", 400),
    ],
)
def test_bad_requests_get_a_message(server: Server, verb: str, path: str, status: int) -> None:
    answer = server.call(verb, f"{TABLE}/{path}")
    assert (answer.status_code, bool(answer.json()["message"])) == (status, True), answer.text


def test_points_to_ids(server: Server, ids: np.ndarray, world: Path) -> None:
    truth = np.load(world / "truth/supervoxels.npy")[:, 0]
    points = np.load(world / "annotations/synapses/presyn_coords.npy")
    body = {"coordinates": points.tolist()}
    found = server.call("POST", f"{TABLE}/supervoxel_lookup", json=body).json()["supervoxel_ids"]
    assert found == truth.tolist()
    when = {"timestamp": BIRTH}
    above = server.call("POST", f"{TABLE}/roots_from_coords", params=when, json=body).json()["root_ids"]
    assert above == roots(server, truth, TABLE, timestamp=BIRTH)


def test_chunk_children(server: Server, ids: np.ndarray) -> None:
    chunk = 2 << 56 | 1 << 46
    raw = server.call("GET", f"{TABLE}/l2_chunk_children_binary/{chunk}?timestamp={BIRTH}").content
    pairs = np.frombuffer(raw, "<u8").reshape(-1, 2)
    here = ids[(ids >> np.uint64(26)) == np.uint64((1 << 56 | 1 << 46) >> 26)]
    assert pairs[:, 1].tolist() == here.tolist()
    second = server.call("POST", f"{TABLE}/roots_binary?timestamp={BIRTH}&stop_layer=2", data=here.tobytes())
    assert pairs[:, 0].tolist() == np.frombuffer(second.content, "<u8").tolist()
    listed = server.call("GET", f"{TABLE}/l2_chunk_children/{chunk}?timestamp={BIRTH}").json()["l2_chunk_children"]
    assert sum(map(len, listed.values())) == len(here)
