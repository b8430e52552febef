"""A graph over a world: right at every moment, the same after a restart, and unwilling to rewrite what it
told.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from localcave import times
from localcave.errors import BadRequest, Conflict
from localcave.loaded import Loaded
from localcave.queries import RootQuestion
from localcave.store import Store

from .replay import objects_at, same_partition

BIRTH = datetime(2026, 1, 1, tzinfo=UTC)


def milliseconds(moment: datetime) -> int:
    return times.from_iso(moment.isoformat())


def roots_at(loaded: Loaded, moment: datetime) -> np.ndarray:
    ids = np.load(loaded.world.folder / "graph/supervoxels.npy")
    return loaded.queries.roots(ids, RootQuestion(milliseconds(moment)))


def agree(loaded: Loaded, moment: datetime) -> bool:
    expected = objects_at(loaded.world.folder, moment)
    return same_partition(roots_at(loaded, moment), np.array(list(expected.values())))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "state")
    yield opened
    opened.close()


def edit_times(world: Path) -> list[datetime]:
    lines = (world / "graph/edits.jsonl").read_text().splitlines()
    return [datetime.fromisoformat(json.loads(line)["timestamp"]) for line in lines]


def moments(world: Path, count: int) -> list[datetime]:
    """Return birth, end, random moments, the very moments of some edits and the milliseconds before them."""
    rng = np.random.default_rng(7)
    edits = rng.choice(np.array(edit_times(world), object), count).tolist()
    before = [moment - timedelta(milliseconds=1) for moment in edits]
    between = [BIRTH + timedelta(days=float(day)) for day in rng.uniform(0, 61, count)]
    return [BIRTH, BIRTH + timedelta(days=90), *edits, *before, *between]


def test_small_world_at_many_moments(store: Store, world: Path) -> None:
    loaded = store.load(str(world), "small")
    loaded.go_on(None, force=False)
    assert all(agree(loaded, moment) for moment in moments(world, 12))


def test_em512_at_many_moments(store: Store, em512: Path) -> None:
    loaded = store.load(str(em512), "em")
    assert loaded.go_on(None, force=False) == 400
    assert all(agree(loaded, moment) for moment in moments(em512, 4))
    ends = np.load(em512 / "truth/supervoxels.npy").ravel()
    for day in (0, 15, 30, 45, 61):
        truth = np.load(em512 / f"truth/object_day{day:02}.npy").ravel()
        found = loaded.queries.roots(ends, RootQuestion(milliseconds(BIRTH + timedelta(days=day))))
        assert same_partition(found, truth)


def test_edits_in_portions_and_restarts_give_the_same_ids(tmp_path: Path, world: Path) -> None:
    whole, parts = Store(tmp_path / "whole"), Store(tmp_path / "parts")
    at_once = whole.load(str(world), "small")
    at_once.go_on(None, force=False)
    counts = []
    for day in (10, 10, 25, 40, 61):
        loaded = parts.load(str(world), "small")
        counts.append(loaded.go_on((BIRTH + timedelta(days=day)).isoformat(), force=False))
        assert agree(loaded, BIRTH + timedelta(days=day))
        parts.close()
        parts = Store(tmp_path / "parts")
    assert counts[1] == 0
    assert sum(counts) == len(edit_times(world))
    for moment in moments(world, 3):
        assert (roots_at(parts.datastack("small"), moment) == roots_at(at_once, moment)).all()
    whole.close()
    parts.close()


def test_an_answered_moment_is_not_rewritten_not_even_after_a_restart(tmp_path: Path, world: Path) -> None:
    store = Store(tmp_path)
    loaded = store.load(str(world), "small")
    first = edit_times(world)[0]
    before = roots_at(loaded, first)
    store.close()
    store = Store(tmp_path)
    loaded = store.datastack("small")
    with pytest.raises(Conflict, match=r"answered about .*force"):
        loaded.go_on(None, force=False)
    assert (roots_at(loaded, first) == before).all()
    assert loaded.go_on(None, force=True) == len(edit_times(world))
    assert agree(loaded, first)
    store.close()


def test_until_is_inclusive_and_earlier_answers_don_t_forbid(store: Store, world: Path) -> None:
    loaded = store.load(str(world), "small")
    first, second = edit_times(world)[:2]
    roots_at(loaded, first - timedelta(milliseconds=1))
    assert loaded.go_on(first.isoformat(), force=False) == 1
    roots_at(loaded, first)
    assert loaded.go_on(second.isoformat(), force=False) == 1


def test_a_bad_edit_undoes_its_whole_portion(store: Store, world: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled"
    shutil.copytree(world, spoiled)
    lines = (spoiled / "graph/edits.jsonl").read_text().splitlines()
    edit = {"operation_id": 6, "timestamp": json.loads(lines[4])["timestamp"], "type": "merge", "supervoxels": [1, 2]}
    (spoiled / "graph/edits.jsonl").write_text("\n".join([*lines[:5], json.dumps(edit)]))
    loaded = store.load(str(spoiled), "spoiled")
    with pytest.raises(Conflict, match="edit 6 of the world: supervoxel 1 is not in the graph"):
        loaded.go_on(None, force=False)
    assert loaded.graph.world_edits == 0
    assert loaded.go_on(json.loads(lines[3])["timestamp"], force=False) == 4
    assert agree(loaded, datetime.fromisoformat(json.loads(lines[3])["timestamp"]))


def test_delayed_edits_show_up_late_with_their_earlier_time(
    store: Store, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = store.load(str(world), "small")
    before = roots_at(loaded, BIRTH)
    loaded.go_on(None, force=False, delay_ms=5000)
    assert (roots_at(loaded, BIRTH + timedelta(days=61)) == before).all()
    late = times.now_ms() + 6000
    monkeypatch.setattr(times, "now_ms", lambda: late)
    assert agree(loaded, BIRTH + timedelta(days=61))
    assert {op.log_ms - op.time_ms for op in loaded.graph.view().operations} == {5000}


def test_worlds_are_refused_with_the_reason(store: Store, world: Path, tmp_path: Path) -> None:
    store.load(str(world), "small")
    other = tmp_path / "other"
    shutil.copytree(world, other)
    with pytest.raises(Conflict, match="is the world"):
        store.load(str(other), "small")
    with pytest.raises(BadRequest, match="no world folder"):
        store.load(str(tmp_path), "nothing")
    with pytest.raises(BadRequest, match="must be a name"):
        store.load(str(world), 'a"b')
    edges = np.load(other / "graph/edges.npy")
    edges[0, 0] += np.uint64(1 << 40)
    np.save(other / "graph/edges.npy", edges)
    with pytest.raises(BadRequest, match=r"edges\.npy"):
        store.load(str(other), "other")
    assert [loaded.datastack for loaded in store] == ["small"]


def test_table_of_a_moment_answers_as_the_climb_does(store: Store, world: Path) -> None:
    loaded = store.load(str(world), "small")
    loaded.go_on(None, force=False)
    moment = BIRTH + timedelta(days=33)
    first = roots_at(loaded, moment)
    few = np.load(world / "graph/supervoxels.npy")[::7]
    assert (loaded.queries.roots(few, RootQuestion(milliseconds(moment))) == first[::7]).all()
    assert (loaded.graph.view().climb(np.arange(0, len(first), 7), milliseconds(moment), 3) >= 0).all()
