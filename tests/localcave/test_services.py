"""The services over HTTP: wire formats, odd rules, faults and refusals."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from .conftest import Server, Starter
from .replay import objects_at, same_partition

BIRTH = 1767225600.0  # 2026-01-01T00:00:00Z
LATE = BIRTH + 61 * 86400
TABLE = "/segmentation/api/v1/table/small_pcg"


@pytest.fixture(scope="module")
def ids(world: Path) -> np.ndarray:
    return np.load(world / "graph/supervoxels.npy")


def roots(server: Server, ids: np.ndarray, at: float | str = LATE, **options: str) -> np.ndarray:
    answer = server.call("POST", f"{TABLE}/roots_binary", params={"timestamp": at, **options}, data=ids.tobytes())
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content, "<u8")


def first_edit(server: Server) -> tuple[float, list[int], list[int]]:
    """Return the first operation's time and its old and new roots, found by bisection over delta_roots."""
    low, high = 0, 61 * 86_400_000
    while high - low > 1:
        middle = (low + high) // 2
        window = {"timestamp_past": BIRTH, "timestamp_future": BIRTH + middle / 1000}
        found = server.call("GET", f"{TABLE}/delta_roots", params=window).json()
        low, high = (low, middle) if found["new_roots"] else (middle, high)
    moment = BIRTH + high / 1000
    window = {"timestamp_past": moment, "timestamp_future": moment}
    found = server.call("GET", f"{TABLE}/delta_roots", params=window).json()
    return moment, found["old_roots"], found["new_roots"]


def test_versions_and_health(server: Server) -> None:
    expected = {
        "/segmentation/api/versions": [0, 1],
        "/segmentation/api/version": "2.21.1",
        "/info/version": "4.3.3",
        "/info/api/versions": [2],
        "/schema/versions": [2],
        "/localcave/health": "healthy",
    }
    assert {path: server.call("GET", path).json() for path in expected} == expected


def test_info_leads_to_the_volume(server: Server, world: Path) -> None:
    info = server.call("GET", "/segmentation/table/small_pcg/info").json()
    assert info["data_dir"] == (world / "segmentation").resolve().as_uri()
    assert info["graph"]["n_layers"] == 3
    assert info["graph"]["spatial_bit_masks"] == {"1": 10, "2": 10, "3": 1}
    assert info["data_type"] == "uint64"


def test_roots_in_binary_json_and_one_by_one(server: Server, world: Path, ids: np.ndarray) -> None:
    found = roots(server, ids)
    expected = objects_at(world, datetime.fromtimestamp(LATE, UTC))
    assert same_partition(found, np.array(list(expected.values())))
    assert (found >> np.uint64(56) == 3).all()
    options = {"timestamp": LATE}
    body = {"node_ids": ids.tolist()}
    listed = server.call("POST", f"{TABLE}/roots", params=options, json=body)
    assert listed.json()["root_ids"] == found.tolist()
    text = server.call("POST", f"{TABLE}/roots", params={**options, "int64_as_str": "true"}, json=body)
    assert text.json()["root_ids"] == [str(root) for root in found.tolist()]
    raw = server.call("POST", f"{TABLE}/roots", params={**options, "as_binary": "root_ids"}, json=body)
    assert raw.content == found.tobytes()
    one = server.call("GET", f"{TABLE}/node/{ids[0]}/root", params=options)
    assert one.json() == {"root_id": int(found[0])}


def test_packed_and_empty_bodies(server: Server, ids: np.ndarray) -> None:
    headers = {"Content-Encoding": "gzip"}
    packed = server.call(
        "POST", f"{TABLE}/roots_binary", params={"timestamp": LATE}, data=gzip.compress(ids.tobytes()), headers=headers
    )
    assert packed.content == roots(server, ids).tobytes()
    assert roots(server, ids[:0]).tolist() == []
    assert server.call("POST", f"{TABLE}/roots_binary", data=b"x", headers=headers).status_code == 400


def test_order_repeats_and_roots_themselves(server: Server, ids: np.ndarray) -> None:
    found = roots(server, ids)
    shuffled = np.random.default_rng(1).integers(0, len(ids), 500)
    assert (roots(server, ids[shuffled]) == found[shuffled]).all()
    dead = np.uint64(3 << 56 | 12345)
    assert roots(server, np.append(found[:3], dead)).tolist() == [*found[:3].tolist(), int(dead)]


def test_stop_layer(server: Server, ids: np.ndarray) -> None:
    second = roots(server, ids, stop_layer="2")
    assert set((second >> np.uint64(56)).tolist()) == {2}
    assert (roots(server, second) == roots(server, ids)).all()
    assert (roots(server, ids, stop_layer="1") == ids).all()
    assert server.call("POST", f"{TABLE}/roots_binary?stop_layer=9", data=ids.tobytes()).status_code == 500


def test_ids_without_a_root(server: Server, ids: np.ndarray) -> None:
    unknown = np.uint64(1 << 56 | 900 << 46 | 1)
    mixed = np.array([0, ids[0], unknown], np.uint64)
    assert roots(server, mixed).tolist() == [0, int(roots(server, ids[:1])[0]), 0]
    # a whole batch without parents comes back as it went in
    assert roots(server, mixed[::2]).tolist() == mixed[::2].tolist()
    assert (roots(server, ids, at=BIRTH - 1) == ids).all()
    assert roots(server, ids[:2], at=BIRTH - 1, fail_to_zero="true").tolist() == [0, 0]
    path = f"{TABLE}/roots_binary?assert_roots=False&timestamp={LATE}"
    assert server.call("POST", path, data=mixed.tobytes()).status_code == 500
    assert server.call("GET", f"{TABLE}/node/{unknown}/root").status_code == 500


def test_the_millisecond_of_an_edit(server: Server) -> None:
    moment, old, new = first_edit(server)

    def latest(node: int, at: float) -> bool:
        body = {"node_ids": [node]}
        answer = server.call("POST", f"{TABLE}/is_latest_roots", params={"timestamp": at}, json=body)
        return answer.json()["is_latest"][0]

    assert [latest(old[0], moment + late) for late in (-0.001, 0, 0.001)] == [True, True, False]
    assert [latest(new[0], moment + late) for late in (-0.001, 0, 0.001)] == [False, False, True]
    member = server.call("GET", f"{TABLE}/oldest_timestamp").json()["iso"]
    assert datetime.fromisoformat(member).timestamp() == pytest.approx(moment - 0.5, abs=1e-6)


def test_is_latest_of_other_ids(server: Server, ids: np.ndarray) -> None:
    second = int(roots(server, ids[:1], stop_layer="2")[0])
    asked = [int(ids[0]), second, 3 << 56 | 12345, 0]
    answer = server.call("POST", f"{TABLE}/is_latest_roots", params={"timestamp": LATE}, json={"node_ids": asked})
    assert answer.json() == {"is_latest": [False, True, False, False]}
    empty = server.call("POST", f"{TABLE}/is_latest_roots", json={"node_ids": []})
    assert empty.json() == {"is_latest": []}


def test_root_timestamps(server: Server) -> None:
    moment, old, new = first_edit(server)

    def ask(nodes: list[int], **options: object) -> object:
        answer = server.call("POST", f"{TABLE}/root_timestamps", params=options, json={"node_ids": nodes})
        return answer.json()["timestamp"] if answer.status_code == 200 else answer.status_code

    unknown = 3 << 56 | 12345
    assert ask([old[0], new[0]]) == [BIRTH, moment]
    assert ask([unknown]) == []
    assert ask([old[0], unknown]) == 500
    assert ask([old[0]], latest="true", timestamp=moment + 5) == [moment]
    assert ask([new[0]], latest="True", timestamp=moment + 0.002) == [moment + 0.002]
    assert ask([new[0]], latest="1", timestamp=moment - 1) == 500


def test_delta_roots_lists_each_new_root_with_its_former_ones(server: Server, world: Path) -> None:
    window = {"timestamp_past": BIRTH, "timestamp_future": LATE}
    found = server.call("GET", f"{TABLE}/delta_roots", params=window).json()
    kinds = [json.loads(line)["type"] for line in (world / "graph/edits.jsonl").read_text().splitlines()]
    assert len(found["new_roots"]) == len(set(found["new_roots"])) == kinds.count("merge") + 2 * kinds.count("split")
    assert len(found["old_roots"]) == 2 * len(kinds)
    assert server.call("GET", f"{TABLE}/delta_roots").status_code == 400


def test_lineage_and_past_ids_agree_with_the_partitions(server: Server, ids: np.ndarray) -> None:
    now, then = roots(server, ids), roots(server, ids, at=BIRTH)
    asked = np.unique(now).tolist()
    window = {"timestamp_past": BIRTH, "timestamp_future": LATE}
    mapping = server.call("GET", f"{TABLE}/past_id_mapping", params=window, json={"root_ids": asked})
    past = mapping.json()["past_id_map"]
    for root in asked:
        # a split ancestor gives all its descendants a share, so the past ids may be more than the members' own
        assert set(then[now == root].tolist()) <= set(past[str(root)])
    graph = server.call("POST", f"{TABLE}/lineage_graph_multiple", params=window, json={"root_ids": asked}).json()
    assert {link["target"] for link in graph["links"]} | set(asked) <= {node["id"] for node in graph["nodes"]}
    retired = {link["source"] for link in graph["links"]}
    assert {node["id"] for node in graph["nodes"] if "operation_id" in node} == retired
    path = f"{TABLE}/root/{asked[0]}/lineage_graph"
    assert server.call("GET", path, params=window).json()["directed"] is True
    assert server.call("POST", f"{TABLE}/lineage_graph_multiple", json={"root_ids": [3 << 56 | 9]}).status_code == 500


@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        ("POST", f"{TABLE}/roots_binary", b"1234567", 500),
        ("POST", f"{TABLE}/roots_binary?timestamp=noon", b"12345678", 400),
        ("POST", f"{TABLE}/roots_binary?timestamp=nan", b"12345678", 400),
        ("POST", f"{TABLE}/roots", b"{", 400),
        ("POST", f"{TABLE}/roots", b'{"node_ids": 5}', 400),
        ("POST", f"{TABLE}/roots", b'{"node_ids": [1.5]}', 400),
        ("POST", f"{TABLE}/is_latest_roots", b'{"node_ids": [18446744073709551616]}', 400),
        ("POST", f"{TABLE}/root_timestamps?latest=maybe", b'{"node_ids": [1]}', 400),
        ("GET", f"{TABLE}/node/18446744073709551616/root", b"", 400),
        ("GET", "/segmentation/table/nothing/info", b"", 404),
        ("GET", "/info/api/v2/datastack/full/nothing", b"", 404),
        ("GET", "/schema/api/v2/type/nothing", b"", 404),
        ("POST", "/localcave/worlds", b'{"folder": "/"}', 400),
        ("POST", "/localcave/edits", b'{"datastack": "small", "until": "soon"}', 400),
        ("POST", "/localcave/edits", b'{"datastack": "nothing"}', 404),
        ("PUT", "/localcave/faults", b'{"smoke": 1}', 400),
        ("PUT", "/localcave/faults", b'{"segmentation": {"color": 1}}', 400),
        ("PUT", "/localcave/settings", b'{"smoke": 1}', 400),
        ("DELETE", f"{TABLE}/roots", b"", 405),
    ],
)
def test_bad_requests_get_a_message(server: Server, verb: str, path: str, body: bytes, status: int) -> None:
    answer = server.call(verb, path, data=body)
    assert answer.status_code == status
    assert answer.json()["code"] == status
    assert answer.json()["message"]


def test_info_service(server: Server) -> None:
    record = server.call("GET", "/info/api/v2/datastack/full/small").json()
    assert record["segmentation_source"] == f"graphene://{server.url}/segmentation/table/small_pcg"
    assert record["local_server"] == server.url
    assert record["aligned_volume"]["name"] == "small_volume"
    assert [record[f"viewer_resolution_{axis}"] for axis in "xyz"] == [16, 16, 40]
    number = record["aligned_volume"]["id"]
    assert server.call("GET", f"/info/api/v2/aligned_volume/id/{number}").json() == record["aligned_volume"]
    assert server.call("GET", "/info/api/v2/aligned_volume/small_volume").json() == record["aligned_volume"]
    assert server.call("GET", "/info/api/v2/aligned_volume/small_volume/datastacks").json() == ["small"]
    assert server.call("GET", "/info/api/v2/datastacks").json() == ["small"]


def test_public_url(server: Server) -> None:
    server.admin("PUT", "settings", {"public_url": "http://front:8080/"})
    record = server.call("GET", "/info/api/v2/datastack/full/small").json()
    assert record["segmentation_source"] == "graphene://http://front:8080/segmentation/table/small_pcg"
    server.admin("PUT", "settings", {"public_url": None})


def test_schema_service(server: Server) -> None:
    names = server.call("GET", "/schema/api/v2/type").json()
    everything = server.call("GET", "/schema/api/v2/types_all").json()
    assert sorted(everything) == sorted(names)
    assert "synapse" in names
    assert server.call("GET", "/schema/api/v2/type/synapse").json() == everything["synapse"]
    some = server.call("POST", "/schema/api/v2/types?schema_names=synapse,nucleus_detection").json()
    assert some == {name: everything[name] for name in ("synapse", "nucleus_detection")}


def test_auth_service_without_authorization(server: Server) -> None:
    me = server.call("GET", "/auth/api/v1/user/cache").json()
    assert (me["id"], me["name"], me["admin"]) == (0, "AUTH_DISABLED", True)
    assert "edit" in me["permissions_v2"]["small"]
    assert server.call("GET", "/auth/api/v1/username?id=0,5").json() == [{"id": 0, "name": "AUTH_DISABLED"}]
    assert server.call("GET", "/auth/api/v1/service/datastack/table/small/dataset").json() == "small"
    assert server.call("GET", "/auth/api/v1/user/token").json() == []


def test_strict_turns_the_odd_rules_off(server: Server, ids: np.ndarray) -> None:
    server.admin("PUT", "settings", {"strict": True})
    assert roots(server, ids[:2], at=BIRTH - 1).tolist() == [0, 0]
    body = {"node_ids": roots(server, ids[:1], at=BIRTH).tolist()}
    latest = server.call("POST", f"{TABLE}/is_latest_roots", params={"timestamp": BIRTH}, json=body)
    assert latest.json() == {"is_latest": [True]}
    server.admin("PUT", "settings", {"strict": False})


@pytest.fixture
def faulty(server: Server) -> Iterator[Server]:
    yield server
    server.admin("DELETE", "faults")


def test_a_burst_of_refusals_ends(faulty: Server) -> None:
    faulty.admin("PUT", "faults", {"segmentation": {"status": 503, "count": 2, "retry_after": 1}})
    answers = [faulty.call("GET", "/segmentation/api/version") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].headers["Retry-After"] == "1"
    assert faulty.call("GET", "/info/version").status_code == 200


def test_faults_of_another_datastack_spare_this_one(faulty: Server, ids: np.ndarray) -> None:
    faulty.admin("PUT", "faults", {"segmentation": {"status": 503}, "zero_roots": True, "datastack": "other"})
    assert roots(faulty, ids[:1])[0] > 0
    faulty.admin("PUT", "faults", {"segmentation": {"status": 503}, "datastack": "small"})
    assert faulty.call("GET", "/segmentation/table/small_pcg/info").status_code == 503


def test_spoiled_roots(faulty: Server, ids: np.ndarray) -> None:
    faulty.admin("PUT", "faults", {"wrong_length": 1, "zero_roots": 2})
    assert [len(roots(faulty, ids)) - len(ids) for _ in range(2)] == [-1, 0]
    faulty.admin("PUT", "faults", {"zero_roots": 2})
    assert [bool(roots(faulty, ids).any()) for _ in range(3)] == [False, False, True]


def test_delayed_visibility(start: Starter, world: Path, tmp_path: Path, ids: np.ndarray) -> None:
    server = start(tmp_path)
    server.admin("PUT", "faults", {"visibility_delay_s": 2})
    server.admin("POST", "worlds", {"folder": str(world), "datastack": "small"})
    then, early = roots(server, ids, at=BIRTH), roots(server, ids)
    assert (early == then).all()
    deadline = time.monotonic() + 10
    while (roots(server, ids) == then).all():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    expected = objects_at(world, datetime.fromtimestamp(LATE, UTC))
    assert same_partition(roots(server, ids), np.array(list(expected.values())))


def test_latency(faulty: Server) -> None:
    faulty.admin("PUT", "faults", {"latency_ms": 150})
    begin = time.monotonic()
    faulty.call("GET", "/info/version")
    assert time.monotonic() - begin > 0.15


def test_edits_in_the_past_of_an_answer_conflict(start: Starter, world: Path, tmp_path: Path, ids: np.ndarray) -> None:
    server = start(tmp_path)
    body = {"folder": str(world), "datastack": "small", "until": "2026-01-10"}
    assert server.admin("POST", "worlds", body)["edits_applied"] > 0
    assert server.admin("POST", "worlds", body)["edits_applied"] == 0
    roots(server, ids)
    refused = server.call("POST", "/localcave/edits", json={"datastack": "small"})
    assert refused.status_code == 409
    assert '"force": true' in refused.json()["message"]
    forced = server.admin("POST", "edits", {"datastack": "small", "force": True})
    assert forced["edits"] == len((world / "graph/edits.jsonl").read_text().splitlines())
    assert server.admin("GET", "worlds") == [{key: value for key, value in forced.items() if key != "edits_applied"}]


def test_token_file(start: Starter, world: Path, tmp_path: Path) -> None:
    people = [
        {"id": 7, "token": "t7", "name": "Ada", "permissions_v2": {"small": ["view"]}},
        {"id": 8, "token": "t8", "name": "Bob"},
    ]
    (tmp_path / "users.json").write_text(json.dumps(people))
    server = start(tmp_path / "state", "--token-file", str(tmp_path / "users.json"))
    server.admin("POST", "worlds", {"folder": str(world), "datastack": "small"})
    path = "/segmentation/table/small_pcg/info"
    headers = [{}, {"Authorization": "Bearer x"}, {"Authorization": "Basic x"}, {"Authorization": "Bearer t8"}]
    answers = [server.call("GET", path, headers=header) for header in headers]
    assert [answer.status_code for answer in answers] == [401, 401, 400, 403]
    assert [answer.json()["error"] for answer in answers] == [
        "no_token",
        "invalid_token",
        "bad_auth_header",
        "missing_permission",
    ]
    assert answers[0].headers["WWW-Authenticate"].startswith("Bearer realm=")
    assert server.call("GET", path, cookies={"middle_auth_token": "t7"}).status_code == 200
    assert server.call("GET", "/info/version").status_code == 200
    me = server.call("GET", "/auth/api/v1/user/cache", headers={"Authorization": "Bearer t7"}).json()
    assert (me["id"], me["permissions_v2"]) == (7, {"small": ["view"]})
