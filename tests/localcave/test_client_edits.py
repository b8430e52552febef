"""Edits through the real caveclient 8.2.1, and every method of its chunkedgraph client, values checked."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .clients import editing_task, run_driver
from .conftest import Server, Starter
from .replay import objects_at, same_partition
from .scene import Scene

LATE = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def scene(world: Path) -> Scene:
    return Scene(world)


@pytest.fixture(scope="module")
def ids(world: Path) -> np.ndarray:
    return np.load(world / "graph/supervoxels.npy")


@pytest.fixture(scope="module")
def owner(world: Path) -> dict[int, int]:
    """The object of each supervoxel after the world's own edits."""
    return objects_at(world, LATE)


@pytest.fixture(scope="module")
def task(world: Path, scene: Scene, owner: dict[int, int], ids: np.ndarray) -> dict[str, Any]:
    return editing_task("edited", scene, ids, owner)


@pytest.fixture(scope="module")
def report(
    start: Starter, world: Path, task: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    server: Server = start(tmp_path_factory.mktemp("state"))
    server.admin("POST", "worlds", {"folder": str(world), "datastack": "edited"})
    found = run_driver("edit_driver.py", tmp_path_factory.mktemp("home"), server.url, task=task)
    server.stop()
    return found


@pytest.fixture(scope="module")
def merged_members(task: dict[str, Any], owner: dict[int, int]) -> set[int]:
    joined = {owner[task["first"]["id"]], owner[task["second"]["id"]]}
    return {one for one, held in owner.items() if held in joined}


def test_merge_joins_whole_objects(
    report: dict[str, Any], owner: dict[int, int], ids: np.ndarray, merged_members: set[int]
) -> None:
    expected = [-1 if one in merged_members else owner[one] for one in ids.tolist()]
    assert same_partition(np.array(report["after_merge"]), np.array(expected))
    root = report["merged"]["new_root_ids"][0]
    assert {root} == {report["after_merge"][place] for place, one in enumerate(ids.tolist()) if one in merged_members}


def test_split_follows_its_preview(report: dict[str, Any], task: dict[str, Any], ids: np.ndarray) -> None:
    sources, sinks, success, others = report["preview"]
    assert success is True
    assert task["split"][0]["id"] in sources
    assert task["split"][1]["id"] in sinks
    roots = dict(zip(ids.tolist(), report["after_split"], strict=True))
    for part in (sources, sinks, *others):
        assert len({roots[one] for one in part}) == 1
    assert roots[sources[0]] != roots[sinks[0]]
    assert report["by_points"] == roots[task["first"]["id"]]
    assert {roots[sources[0]], roots[sinks[0]]} <= set(report["split"][1])


def test_undo_restores_the_partition_under_new_ids(report: dict[str, Any]) -> None:
    assert same_partition(np.array(report["after_undo"]), np.array(report["after_merge"]))
    assert report["current"] not in report["after_merge"]
    assert report["undone"]["operation_id"] == report["split"][0] + 1 == report["merged"]["operation_id"] + 2


def test_leaves_are_exactly_the_members(
    report: dict[str, Any], merged_members: set[int], scene: Scene, ids: np.ndarray
) -> None:
    assert set(report["leaves"]) == set(report["leaves_old"]) == merged_members
    corner = set(np.unique(scene.volume[:64, :64, :64]).tolist())
    assert set(report["leaves_half"]) == corner & merged_members
    assert {node >> 56 for node in report["level2"]} == {2}
    old = report["merged"]["new_root_ids"][0]
    assert {key: sorted(found) for key, found in report["many"].items()} == {
        str(root): sorted(merged_members) for root in (report["current"], old)
    }
    assert report["covering"] == [report["current"]]
    assert {node >> 56 for node in report["children"]} <= {1, 2}


def test_subgraph_and_level2_graph(report: dict[str, Any], world: Path, merged_members: set[int], scene: Scene) -> None:
    nodes, affinities, areas = report["subgraph"]
    assert {one for edge in nodes for one in edge} <= merged_members
    assert len(nodes) == len(affinities) == len(areas)
    known = {(a, b): area for a, b, area in np.load(world / "graph/edges.npy").tolist()}
    inside = {edge: area for edge, area in known.items() if set(edge) <= merged_members}
    found = {tuple(edge): area for edge, area in zip(nodes, areas, strict=True)}
    assert inside.items() <= found.items()
    second = {one for edge in report["l2_graph"] for one in edge}
    assert second == set(report["level2"])
    assert {tuple(edge) for edge in report["l2_half"]} <= {tuple(edge) for edge in report["l2_graph"]}
    centers, path, failed = report["path"]
    assert (len(centers), len(path), failed) == (1, 1, [])
    assert path[0] in second


def test_validity(report: dict[str, Any]) -> None:
    assert report["valid"] == [True, True, False]
    assert report["latest"] == [True, False]
    assert report["suggested"] == report["current"]
    assert report["latest_roots"] == [report["current"]]


def test_logs(report: dict[str, Any], task: dict[str, Any], world: Path) -> None:
    numbers = report["merged"]["operation_id"], report["split"][0], report["undone"]["operation_id"]
    merge, split, undo = map(str, numbers)
    details = report["details"]
    pair = sorted((task["first"]["id"], task["second"]["id"]))
    assert pair in [sorted(edge) for edge in details[merge]["added_edges"]]
    assert details[merge]["roots"] == report["merged"]["new_root_ids"]
    assert details[merge]["source_coords"] == [list(task["first"]["voxel"])]
    assert "added_edges" not in details[split]
    assert details[split]["removed_edges"] == details[undo]["added_edges"]
    assert details[undo]["undo_operation_id"] == int(split)
    assert {one["user"] for one in details.values()} == {"0"}
    edits = len((world / "graph/edits.jsonl").read_text().splitlines())
    assert report["count"] == edits + 1  # the split and its undo cancel out
    assert int(merge) in report["mine"]["operation_id"].values()
    kinds = dict(zip(report["log"]["operation_id"].values(), report["log"]["is_merge"].values(), strict=True))
    assert kinds[int(merge)] is True
    assert set(report["log"]["user_name"].values()) == {"AUTH_DISABLED"}
    every = report["unfiltered"]["operation_id"].values()
    assert {int(merge), int(split), int(undo)} <= set(every)
    assert len(every) == len(report["unfiltered"]["in_neuron"]) >= len(kinds)
    changes = report["change_log"]
    assert changes["n_mergers"] + changes["n_splits"] == len(changes["operations_ids"])
    assert changes["user_info"]["0"] == {"n_splits": changes["n_splits"], "n_mergers": changes["n_mergers"]}
    assert report["merged"]["new_root_ids"][0] in changes["past_ids"]
    assert pair in [sorted(edge) for edges in report["merge_log"]["merge_edges"] for edge in edges]


def test_lineage_closes(report: dict[str, Any], ids: np.ndarray) -> None:
    assert sorted(report["past"]) == sorted(report["originals"])
    assert report["lineage"] >= 4
    assert report["info"]["n_layers"] == 3
    assert report["resolution"] == [16, 16, 40]
    assert report["path_to_volume"].endswith("/segmentation/api/v1/edited_pcg")
