"""Edits as people make them, over HTTP: what they join and cut, how they are refused, undone and logged."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import Server, Starter
from .replay import same_partition
from .scene import Point, Scene

TABLE = "/segmentation/api/v1/table/edited_pcg"
BIRTH = 1767225600.0


@pytest.fixture(scope="module")
def scene(world: Path) -> Scene:
    return Scene(world)


@pytest.fixture(scope="module")
def running(start: Starter, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Server:
    server = start(tmp_path_factory.mktemp("state"))
    server.admin("POST", "worlds", {"folder": str(world), "datastack": "edited"})
    return server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """A graph whose edits are those of the world's history."""
    yield running
    running.admin("POST", "reset", {"datastack": "edited"})
    running.admin("POST", "edits", {"datastack": "edited"})


@pytest.fixture(scope="module")
def ids(world: Path) -> np.ndarray:
    return np.load(world / "graph/supervoxels.npy")


def roots(server: Server, ids: np.ndarray, **when: float) -> np.ndarray:
    answer = server.call("POST", f"{TABLE}/roots_binary", params=when, data=ids.astype("<u8").tobytes())
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content, "<u8")


def root_of(server: Server, point: Point) -> int:
    return int(roots(server, np.array([point.id], np.uint64))[0])


def post(server: Server, path: str, body: object, status: int = 200, **options: object) -> dict[str, Any]:
    answer = server.call("POST", f"{TABLE}/{path}", json=body, params=options)
    assert answer.status_code == status, answer.text
    return answer.json()


def strangers(server: Server, scene: Scene, near: bool = True) -> tuple[Point, Point]:
    """Return two touching points of different objects."""
    for first, second in scene.contacts:
        if root_of(server, first) != root_of(server, second):
            return first, second
    raise AssertionError("everything is one object")


def merge(server: Server, first: Point, second: Point, status: int = 200, **options: object) -> dict[str, Any]:
    return post(server, "merge", [first.nm(), second.nm()], status, **options)


def divisible(server: Server, scene: Scene, ids: np.ndarray) -> dict[str, list[list[float]]]:
    """Return sources and sinks of a split that the service would make."""
    found = roots(server, ids)
    for root in np.unique(found)[np.argsort(-np.unique(found, return_counts=True)[1])]:
        members = ids[found == root]
        for other in members[1:]:
            body = {"sources": [scene.point(int(members[0])).nm()], "sinks": [scene.point(int(other)).nm()]}
            answer = server.call("POST", f"{TABLE}/graph/split_preview", json=body)
            if answer.status_code == 200 and min(map(len, answer.json()["supervoxel_connected_components"])) > 1:
                return body
    raise AssertionError("nothing can be split")


def test_a_merge_joins_two_objects_and_nothing_else(server: Server, scene: Scene, ids: np.ndarray) -> None:
    first, second = strangers(server, scene)
    before = roots(server, ids)
    done = merge(server, first, second)
    after = roots(server, ids)
    expected = before.copy()
    expected[np.isin(before, [before[ids == first.id], before[ids == second.id]])] = 1
    assert same_partition(after, expected)
    assert done["new_root_ids"] == [root_of(server, first)]
    assert (after[expected != 1] == before[expected != 1]).all()
    assert not set(done["new_root_ids"]) & set(before.tolist())


def test_a_merge_switches_every_contact_nearby_on(server: Server, scene: Scene, world: Path) -> None:
    first, second = strangers(server, scene)
    number = merge(server, first, second)["operation_id"]
    details = server.call("GET", f"{TABLE}/operation_details?operation_ids=[{number}]").json()[str(number)]
    touching = {tuple(sorted((a.id, b.id))) for a, b in scene.contacts}
    assert tuple(sorted((first.id, second.id))) in {tuple(edge) for edge in details["added_edges"]} & touching
    assert details["source_ids"], details["sink_ids"] == [[first.id], [second.id]]
    assert details["source_coords"] == [list(first.voxel)]
    assert "removed_edges" not in details


def test_a_root_and_a_place_name_the_supervoxel_there(server: Server, scene: Scene) -> None:
    first, second = strangers(server, scene)
    by_root = [Point(root_of(server, point), point.voxel) for point in (first, second)]
    number = merge(server, *by_root)["operation_id"]
    details = server.call("GET", f"{TABLE}/operation_details?operation_ids=[{number}]").json()[str(number)]
    assert (details["source_ids"], details["sink_ids"]) == ([first.id], [second.id])


def test_undo_and_redo(server: Server, scene: Scene, ids: np.ndarray) -> None:
    first, second = strangers(server, scene)
    before = roots(server, ids)
    merged = merge(server, first, second)
    joined = roots(server, ids)
    undone = post(server, "undo", {"operation_id": merged["operation_id"]})
    apart = roots(server, ids)
    assert same_partition(apart, before)
    assert not set(undone["new_root_ids"]) & set(before.tolist())
    # undo of the undo, like redo of the merge, does the merge again
    again = post(server, "undo", {"operation_id": undone["operation_id"]})
    assert same_partition(roots(server, ids), joined)
    assert post(server, "redo", {"operation_id": merged["operation_id"]}) == {"operation_id": None, "new_root_ids": []}
    post(server, "undo", {"operation_id": again["operation_id"]})
    assert same_partition(roots(server, ids), before)
    # to redo an undo is to undo, which is done already
    assert post(server, "redo", {"operation_id": undone["operation_id"]})["operation_id"] is None
    post(server, "redo", {"operation_id": merged["operation_id"]})
    last = roots(server, ids)
    assert same_partition(last, joined)
    assert len({root for found in (before, joined, apart, last) for root in found[ids == first.id].tolist()}) == 4


def test_a_split_does_what_its_preview_says(server: Server, scene: Scene, ids: np.ndarray) -> None:
    body = divisible(server, scene, ids)
    before = roots(server, ids)
    preview = post(server, "graph/split_preview", body)
    assert (roots(server, ids) == before).all()
    assert preview["illegal_split"] is False
    parts = [set(part) for part in preview["supervoxel_connected_components"]]
    assert body["sources"][0][0] in parts[0]
    assert body["sinks"][0][0] in parts[1]
    done = post(server, "split", body)
    after = roots(server, ids)
    for part in parts:
        assert len(set(after[np.isin(ids, np.array(list(part), np.uint64))].tolist())) == 1
    assert after[ids == np.uint64(body["sources"][0][0])] != after[ids == np.uint64(body["sinks"][0][0])]
    split = before == before[ids == np.uint64(body["sources"][0][0])][0]
    assert set(after[split].tolist()) == set(done["new_root_ids"])
    assert (after[~split] == before[~split]).all()


def test_merging_what_was_split_brings_its_contacts_back(server: Server, scene: Scene, ids: np.ndarray) -> None:
    body = divisible(server, scene, ids)
    before = roots(server, ids)
    cut = post(server, "split", body)["operation_id"]
    removed = server.call("GET", f"{TABLE}/operation_details?operation_ids=[{cut}]").json()[str(cut)]["removed_edges"]
    first, second = (scene.point(end) for end in removed[0])
    merged = merge(server, first, second)["operation_id"]
    added = server.call("GET", f"{TABLE}/operation_details?operation_ids=[{merged}]").json()[str(merged)]["added_edges"]
    assert {tuple(edge) for edge in added} >= {tuple(edge) for edge in removed}
    assert same_partition(roots(server, ids), before)


def test_exact_pairs_are_cut_without_mincut(server: Server, scene: Scene, ids: np.ndarray) -> None:
    first, second = strangers(server, scene)
    before = dict(zip(ids.tolist(), roots(server, ids).tolist(), strict=True))
    merged = merge(server, first, second)["operation_id"]
    added = server.call("GET", f"{TABLE}/operation_details?operation_ids=[{merged}]").json()[str(merged)]["added_edges"]
    joined = [edge if before[edge[0]] == before[first.id] else edge[::-1] for edge in added]
    sources, sinks = ([scene.point(end).nm() for end in side] for side in zip(*joined, strict=True))
    done = post(server, "split", {"sources": sources, "sinks": sinks}, mincut="false")
    assert len(done["new_root_ids"]) == 2
    uneven = {"sources": sources, "sinks": [*sinks, first.nm()]}
    post(server, "split", uneven, 400, mincut="false")
    assert post(server, "split", {"sources": sources, "sinks": sinks}, mincut="false")["operation_id"] is None


def test_times_increase_and_nothing_told_is_rewritten(server: Server, scene: Scene, ids: np.ndarray) -> None:
    told = []
    for first, second in scene.contacts[::40]:
        if root_of(server, first) == root_of(server, second):
            continue
        clock = server.admin("GET", "clock")["now"]
        now = np.datetime64(clock.removesuffix("+00:00"), "us").astype(np.int64) / 1e6
        told.append((now, roots(server, ids, timestamp=now)))
        merge(server, first, second)
    assert len(told) > 3
    assert all((roots(server, ids, timestamp=at) == was).all() for at, was in told)
    log = server.call("GET", f"{TABLE}/tabular_change_log_recent").json()
    moments = list(log["timestamp"].values())
    assert all(early < late for early, late in itertools.pairwise(moments))


def test_a_stopped_clock_still_gives_increasing_times(server: Server, scene: Scene) -> None:
    server.admin("PUT", "clock", {"now": "2031-05-01T00:00:00+00:00", "stopped": True})
    try:
        first, second = strangers(server, scene)
        numbers = [merge(server, first, second)["operation_id"]]
        numbers.append(post(server, "undo", {"operation_id": numbers[0]})["operation_id"])
        path = f"{TABLE}/operation_details?operation_ids={json.dumps(numbers)}"
        times = [one["timestamp"] for one in server.call("GET", path).json().values()]
    finally:
        server.admin("DELETE", "clock")
    assert times == sorted(set(times))
    assert times[0].startswith("2031-05-01 00:00:00")


BACKGROUND = "background"


@pytest.mark.parametrize(
    ("case", "status", "words"),
    [
        ("same root", 400, "one object already"),
        ("same supervoxel", 400, "in one supervoxel"),
        ("unknown id", 400, "is no node"),
        ("root far from the point", 400, "no supervoxel near"),
        ("one point", 500, "two points"),
        ("no number", 400, "is no point"),
        ("infinite", 400, "finite"),
        ("not a list", 400, "must be a list"),
    ],
)
def test_refused_merges(server: Server, scene: Scene, ids: np.ndarray, case: str, status: int, words: str) -> None:
    first, second = strangers(server, scene)
    found = roots(server, ids)
    largest = np.unique(found)[np.unique(found, return_counts=True)[1].argmax()]
    twin = [scene.point(int(one)).nm() for one in ids[found == largest][:2]]
    dark = np.argwhere(scene.volume == 0)
    far = dark[np.abs(dark - second.voxel).sum(axis=1).argmax()].tolist()
    bodies: dict[str, object] = {
        "same root": twin,
        "same supervoxel": [first.nm(), first.nm()],
        "unknown id": [first.nm(), Point(1 << 56 | 5 << 46 | 7, first.voxel).nm()],
        "root far from the point": [first.nm(), Point(root_of(server, second), tuple(far)).nm()],
        "one point": [first.nm()],
        "no number": [first.nm(), [second.id, "x", 1, 2]],
        "infinite": [first.nm(), [second.id, 1e30, 1, 2]],
        "not a list": {"points": 1},
    }
    before = roots(server, ids)
    refusal = post(server, "merge", bodies[case], status)
    assert words in refusal["message"]
    assert (roots(server, ids) == before).all()


def test_a_point_in_background_takes_what_lies_near(server: Server, scene: Scene) -> None:
    first, second = strangers(server, scene)
    root = root_of(server, second)
    dark = np.argwhere(scene.volume == 0)
    near = dark[(np.abs(dark - second.voxel) * (16, 16, 40)).sum(axis=1).argmin()].tolist()
    number = merge(server, first, Point(root, tuple(near)))["operation_id"]
    details = server.call("GET", f"{TABLE}/operation_details?operation_ids=[{number}]").json()[str(number)]
    assert details["sink_coords"] == [near]
    assert details["sink_ids"][0] in scene.volume
    zero = post(server, "merge", [first.nm(), Point(0, second.voxel).nm()], 400)
    assert "is no point" in zero["message"]


def test_what_does_not_touch_is_merged_by_one_made_up_edge(server: Server, scene: Scene, ids: np.ndarray) -> None:
    found = dict(zip(ids.tolist(), roots(server, ids).tolist(), strict=True))
    touching = {(found[a.id], found[b.id]) for a, b in scene.contacts}
    first = int(ids[0])
    touching |= {(b, a) for a, b in touching} | {(found[first], found[first])}
    second = next(one for one in ids[::-1].tolist() if (found[first], found[one]) not in touching)
    ends = [scene.point(first), scene.point(second)]
    assert "more than 0 chunks apart" in merge(server, *ends, 400, chebyshev_distance=0)["message"]
    number = merge(server, *ends)["operation_id"]
    details = server.call("GET", f"{TABLE}/operation_details?operation_ids=[{number}]").json()[str(number)]
    assert details["added_edges"] == [[first, second]]


def test_refused_splits(server: Server, scene: Scene, ids: np.ndarray) -> None:
    first, second = strangers(server, scene)
    good = divisible(server, scene, ids)
    found = roots(server, ids)
    lonely = next(root for root, count in zip(*np.unique(found, return_counts=True), strict=True) if count == 2)
    pair = [scene.point(int(one)).nm() for one in ids[found == lonely]]
    cases = [
        ({"sources": [first.nm()], "sinks": [second.nm()]}, "one object"),
        ({"sources": good["sources"], "sinks": good["sources"]}, "as source and as sink"),
        ({"sources": good["sources"], "sinks": []}, "at least one"),
        ({"sources": good["sources"]}, "must be a list"),
        ({"sources": [pair[0]], "sinks": [pair[1]]}, "isolate only the marked"),
    ]
    for body, words in cases:
        assert words in post(server, "split", body, 400)["message"]
    assert (roots(server, ids) == found).all()


@pytest.mark.parametrize("body", [{}, {"operation_id": None}, {"operation_id": 10**6}, {"operation_id": -1}, []])
def test_refused_undo(server: Server, body: object) -> None:
    assert post(server, "undo", body, 400)["message"]
    assert post(server, "redo", body, 400)["message"]


def test_an_edit_of_another_tables_supervoxels_is_refused(server: Server, scene: Scene, tmp_path: Path) -> None:
    from localcave.world import make

    make(tmp_path / "other", seed=4, size=192, synapses=50)
    server.admin("POST", "worlds", {"folder": str(tmp_path / "other"), "datastack": "other"})
    theirs = int(np.load(tmp_path / "other/graph/supervoxels.npy")[-1])
    first, _ = strangers(server, scene)
    assert "is no node" in post(server, "merge", [first.nm(), [theirs, 1, 1, 1]], 400)["message"]


def test_explicit_edits_are_exact_sets_under_the_same_rule(server: Server, ids: np.ndarray) -> None:
    late = "2027-01-01T00:00:00+00:00"
    found = roots(server, ids, timestamp=BIRTH + 90 * 86400)
    largest = np.unique(found)[np.unique(found, return_counts=True)[1].argmax()]
    members = ids[found == largest].tolist()
    leaving = ids[found == largest][1::2]
    edits = [
        {"timestamp": late, "type": "split", "from": members[0], "split_off": leaving.tolist()},
        {"timestamp": late, "type": "merge", "supervoxels": [members[0], members[1]]},
    ]
    server.admin("PUT", "clock", {"now": "2026-12-01T00:00:00+00:00"})
    try:
        counts = server.admin("POST", "edits", {"datastack": "edited", "edits": edits[:1]})
        assert counts["edits_applied"] == 1
        after = roots(server, ids, timestamp=1798761600)  # 2027-01-01, which answers for that moment
        expected = found.copy()
        expected[np.isin(ids, leaving)] = 1
        assert same_partition(after, expected)
        body = {"datastack": "edited", "edits": edits[1:]}
        refusal = server.call("POST", "/localcave/edits", json=body)
        assert (refusal.status_code, "force" in refusal.json()["message"]) == (409, True)
        assert server.admin("POST", "edits", {**body, "force": True})["edits_applied"] == 1
        assert same_partition(roots(server, ids, timestamp=1798761600), found)
    finally:
        server.admin("DELETE", "clock")
    nowhere = {"timestamp": late, "type": "merge", "supervoxels": ["x", 1]}
    for wrong in ([{}], {"a": 1}, [{"timestamp": late, "type": "move"}], [nowhere]):
        body = {"datastack": "edited", "edits": wrong}
        assert server.call("POST", "/localcave/edits", json=body).status_code == 400


def test_reset_and_random_edits(server: Server, world: Path, ids: np.ndarray) -> None:
    counts = server.admin("POST", "reset", {"datastack": "edited"})
    assert counts["operations"] == 0
    first = roots(server, ids)
    runs = []
    for _ in range(2):
        server.admin("POST", "reset", {"datastack": "edited"})
        done = server.admin("POST", "random_edits", {"datastack": "edited", "count": 12, "seed": 3})
        runs.append((done["edits_applied"], roots(server, ids).tolist()))
    assert runs[0] == runs[1]
    assert runs[0][0] == 12
    assert runs[0][1] != first.tolist()
    bad = server.call("POST", "/localcave/random_edits", json={"datastack": "edited", "count": -1})
    assert bad.status_code == 400


def test_rollback_of_a_user(server: Server, scene: Scene, ids: np.ndarray) -> None:
    server.admin("POST", "reset", {"datastack": "edited"})
    before = roots(server, ids)
    numbers = []
    for first, second in scene.contacts[::60]:
        if root_of(server, first) != root_of(server, second):
            numbers.append(merge(server, first, second)["operation_id"])
    kept = roots(server, ids)
    options = {"user_id": 0, "skip_operation_ids": f"[{numbers[0]}]"}
    answer = server.call("POST", f"{TABLE}/rollback_user", params=options)
    assert len(answer.json()) == len(numbers) - 1
    assert not same_partition(roots(server, ids), kept)
    post(server, "undo", {"operation_id": numbers[0]})
    assert same_partition(roots(server, ids), before)
    assert server.call("POST", f"{TABLE}/rollback_user").status_code == 400


def test_what_is_not_offered_says_so(server: Server) -> None:
    answers = [
        server.call("GET", f"{TABLE}/node/5/contact_sites"),
        server.call("GET", f"{TABLE}/node/contact_sites_pair/5/6"),
        server.call("POST", "/meshing/api/v1/table/edited_pcg/remeshing", json={"new_lvl2_ids": []}),
    ]
    assert [(answer.status_code, bool(answer.json()["message"])) for answer in answers] == [(501, True)] * 3
