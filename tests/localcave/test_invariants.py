"""What must hold whatever people do: against plain sets, at every recorded moment, killed or not, alone or not."""

from __future__ import annotations

import itertools
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from localcave.clock import Clock
from localcave.journal import Operation
from localcave.lineage import Lineage
from localcave.loaded import Loaded
from localcave.queries import RootQuestion
from localcave.randomedits import steps
from localcave.state import State
from localcave.worldfile import open_world
from materializationengine.kernel.processes import wait_until

from .conftest import Server, Starter
from .replay import objects_at, same_partition
from .scene import Scene

BIRTH = datetime(2026, 1, 1, tzinfo=UTC)


class Components:
    """The brute-force replay: edges in a dictionary, components by walking."""

    def __init__(self, world: Path) -> None:
        self.ids = np.load(world / "graph/supervoxels.npy").tolist()
        objects = np.load(world / "graph/initial_object.npy").tolist()
        self.edges: set[tuple[int, int]] = set()
        edges = np.load(world / "graph/edges.npy")[:, :2].tolist()
        self._add(edges)
        # Parts of an object that don't touch belong together all the same.
        found = dict(zip(self.ids, self.labels(), strict=True))
        for _, members in itertools.groupby(sorted(zip(objects, self.ids, strict=True)), key=lambda pair: pair[0]):
            firsts = {found[one]: one for _, one in sorted(members, key=lambda pair: -pair[1])}
            self._add(list(itertools.pairwise(sorted(firsts.values()))))

    def apply(self, operation: Operation) -> None:
        self.edges -= set(zip(operation.removed[::2], operation.removed[1::2], strict=True))
        self._add(list(zip(operation.added[::2], operation.added[1::2], strict=True)))

    def labels(self) -> list[int]:
        """Return a label for each supervoxel: the smallest id of its component."""
        neighbors: dict[int, list[int]] = {one: [] for one in self.ids}
        for a, b in self.edges:
            neighbors[a].append(b)
            neighbors[b].append(a)
        label: dict[int, int] = {}
        for start in self.ids:
            waiting = [start]
            while waiting:
                one = waiting.pop()
                if one not in label:
                    label[one] = start
                    waiting.extend(neighbors[one])
        return [label[one] for one in self.ids]

    def _add(self, pairs: list) -> None:
        self.edges |= {(min(pair), max(pair)) for pair in pairs}


@dataclass
class Run:
    """Random edits of one graph, each moment's partition written down by the replay."""

    loaded: Loaded
    replay: Components
    ids: np.ndarray
    recorded: list[tuple[int, list[int]]] = field(default_factory=list)

    def edit(self, count: int, seed: int, every: int = 1) -> None:
        for number, step in enumerate(steps(count, seed)):
            for operation in self.loaded.graph.edit([step]):
                self.replay.apply(operation)
                if number % every == 0:
                    self.recorded.append((operation.time_ms, self.replay.labels()))

    def roots(self, at_ms: int) -> np.ndarray:
        return self.loaded.queries.roots(self.ids, RootQuestion(at_ms))

    def edges(self) -> dict[tuple[int, int], tuple[bool, int]]:
        """Return every edge that ever was: whether it holds now, and its area."""

        def look(state: State) -> dict[tuple[int, int], tuple[bool, int]]:
            table = state.forest.edges
            every = np.arange(len(table))
            known = zip(table.active(every).tolist(), table.areas(every).tolist(), strict=True)
            return dict(zip(map(tuple, table.ends(every).tolist()), known, strict=True))

        return self.loaded.graph.present(look)

    def check_moments(self) -> None:
        for at, labels in self.recorded:
            assert same_partition(self.roots(at), np.array(labels)), at

    def check_leaves(self) -> None:
        now = self.roots(self.loaded.graph.clock.now_ms() + 10**6)
        for root in np.unique(now).tolist():
            assert self.loaded.nodes.leaves(root).tolist() == self.ids[now == root].tolist()

    def check_ids(self) -> None:
        view = self.loaded.graph.view()
        assert len(np.unique(view.ids)) == len(view.ids)

    def check_lineage(self) -> None:
        """The descendants of the first roots that were not replaced are the present roots."""
        far = self.loaded.graph.clock.now_ms() + 10**6
        first = np.unique(self.roots(self.loaded.graph.birth_ms)).tolist()
        graph = Lineage(self.loaded.graph).graph(first, self.loaded.graph.birth_ms, far)
        replaced = {int(link["source"]) for link in graph["links"]}
        nodes = {int(node["id"]) for node in graph["nodes"]}
        assert nodes - replaced == set(np.unique(self.roots(far)).tolist())


def begin(world: Path, folder: Path) -> Run:
    from localcave.creation import create

    opened = open_world(str(world))
    create(opened, "t", folder)
    loaded = Loaded.open("t", 1, opened, folder, Clock())
    return Run(loaded, Components(world), np.load(world / "graph/supervoxels.npy"))


@pytest.fixture(scope="module")
def built(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph without edits, whose log a test may write and forget."""
    run = begin(world, tmp_path_factory.mktemp("graph") / "t_pcg")
    run.loaded.graph.close()
    return run.loaded.graph.folder


@settings(max_examples=15, deadline=None)
@given(seeds=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 12)), min_size=1, max_size=4))
def test_every_recorded_moment_equals_the_replay(world: Path, built: Path, seeds: list[tuple[int, int]]) -> None:
    opened = open_world(str(world))
    loaded = Loaded.open("t", 1, opened, built, Clock())
    loaded.graph.reset()
    run = Run(loaded, Components(world), np.load(world / "graph/supervoxels.npy"))
    for seed, count in seeds:
        run.edit(count, seed)
    run.check_moments()
    run.check_leaves()
    run.check_ids()
    run.check_lineage()
    before, edges = run.roots(loaded.graph.birth_ms + 10**12), run.edges()
    loaded.graph.close()
    run.loaded = again = Loaded.open("t", 1, opened, built, Clock())
    assert (run.roots(again.graph.birth_ms + 10**12) == before).all()
    assert run.edges() == edges
    run.edit(5, seed=seeds[0][0])
    run.check_moments()
    run.check_leaves()
    again.graph.close()


@pytest.mark.faults
def test_ten_thousand_random_edits(tmp_path: Path) -> None:
    from localcave.world import make

    make(tmp_path / "world", seed=21, size=192, synapses=100)
    run = begin(tmp_path / "world", tmp_path / "t_pcg")
    run.edit(10_000, seed=5, every=100)
    run.check_moments()
    run.check_leaves()
    run.check_ids()
    run.check_lineage()
    run.loaded.graph.close()
    run.loaded = Loaded.open("t", 1, open_world(str(tmp_path / "world")), tmp_path / "t_pcg", Clock())
    run.check_moments()
    run.check_lineage()


def test_a_failed_batch_leaves_nothing_behind(world: Path, tmp_path: Path) -> None:
    run = begin(world, tmp_path / "t_pcg")
    run.edit(5, seed=1)
    before = run.roots(10**15)

    def broken(state: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run.loaded.graph.edit([*steps(3, 2), broken])  # type: ignore[list-item]
    assert (run.roots(10**15) == before).all()
    run.edit(5, seed=3)
    run.check_moments()


TABLE = "/segmentation/api/v1/table/small_pcg"


def pairs_of(scene: Scene) -> Iterator[list[list[float]]]:
    """Yield points of touching supervoxels, over and over."""
    chosen = random.Random(3).sample(scene.contacts, len(scene.contacts))
    yield from itertools.cycle([[a.nm(), b.nm()] for a, b in chosen])


def roots_over_http(url: str, ids: np.ndarray, at: float) -> np.ndarray:
    options = {"timestamp": at}
    answer = requests.post(f"{url}{TABLE}/roots_binary", params=options, data=ids.tobytes(), timeout=30)
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content, "<u8")


def _kill_when(server: Server, enough: Callable[[], bool], milliseconds: int) -> None:
    """However fast the machine is, something was acknowledged by then."""
    wait_until(enough, 60.0, 0.001)
    time.sleep(milliseconds / 1000)
    server.process.send_signal(signal.SIGKILL)


def test_killed_between_or_in_edits_nothing_acknowledged_is_lost(start: Starter, world: Path, tmp_path: Path) -> None:
    scene, ids = Scene(world), np.load(world / "graph/supervoxels.npy")
    points = pairs_of(scene)
    acknowledged: dict[int, list[int]] = {}
    server = start(tmp_path)
    server.admin("POST", "worlds", {"folder": str(world), "datastack": "small"})
    server.call("POST", f"{TABLE}/merge", json=next(points))  # the first one looks for contacts, which takes a while
    for round_number in range(3):
        enough = len(acknowledged) + 5
        killer = threading.Thread(
            target=_kill_when, args=(server, lambda n=enough: len(acknowledged) >= n, round_number)
        )
        killer.start()
        try:
            while True:
                answer = server.call("POST", f"{TABLE}/merge", json=next(points))
                if answer.status_code == 200 and answer.json()["operation_id"]:
                    acknowledged[answer.json()["operation_id"]] = answer.json()["new_root_ids"]
                    server.call("POST", f"{TABLE}/undo", json={"operation_id": answer.json()["operation_id"]})
        except requests.RequestException:  # no connection, or half an answer
            killer.join()
            server.stop(signal.SIGKILL)
        server = start(tmp_path)
        numbers = list(acknowledged)
        details = server.call("GET", f"{TABLE}/operation_details", params={"operation_ids": str(numbers)}).json()
        assert {number: details[str(number)]["roots"] for number in numbers} == acknowledged
    assert len(acknowledged) > 10
    assert (roots_over_http(server.url, ids, time.time()) > 0).all()
    made = [root for found in acknowledged.values() for root in found]
    assert len(set(made)) == len(made)
    server.stop()


@dataclass
class Traffic:
    """Readers and editors of one server, and what they saw."""

    server: Server
    ids: np.ndarray
    seconds: float
    merges: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    told: list[tuple[float, np.ndarray]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def read(self) -> None:
        end, keep = time.monotonic() + self.seconds, 0.0
        while time.monotonic() < end:
            at = time.time()
            found = roots_over_http(self.server.url, self.ids, at)
            latest = requests.post(
                f"{self.server.url}{TABLE}/is_latest_roots",
                params={"timestamp": at + 0.001},
                json={"node_ids": np.unique(found).tolist()},
                timeout=30,
            )
            self.statuses.append(latest.status_code)
            if time.monotonic() > keep:
                self.told.append((at, found))
                keep = time.monotonic() + 0.2

    def edit(self, points: Iterator[list[list[float]]]) -> None:
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            answer = requests.post(f"{self.server.url}{TABLE}/merge", json=next(points), timeout=30)
            self.statuses.append(answer.status_code)
            if answer.status_code == 200:
                number = answer.json()["operation_id"]
                self.merges.append(number)
                undone = requests.post(f"{self.server.url}{TABLE}/undo", json={"operation_id": number}, timeout=30)
                self.statuses.append(undone.status_code)

    def run(self, readers: int, editors: list[Iterator[list[list[float]]]]) -> None:
        threads = [threading.Thread(target=self._noting, args=[self.read]) for _ in range(readers)]
        threads += [threading.Thread(target=self._noting, args=[self.edit, points]) for points in editors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _noting(self, work, *arguments) -> None:
        try:
            work(*arguments)
        except (AssertionError, requests.RequestException) as problem:
            self.failures.append(repr(problem))


def drive(start: Starter, world: Path, folder: Path, seconds: float) -> Traffic:
    scene, ids = Scene(world), np.load(world / "graph/supervoxels.npy")
    server = start(folder)
    server.admin("POST", "worlds", {"folder": str(world), "datastack": "small"})
    shuffled = random.Random(9).sample(scene.contacts, len(scene.contacts))
    editors = [itertools.cycle([[a.nm(), b.nm()] for a, b in shuffled[half::2]]) for half in (0, 1)]
    traffic = Traffic(server, ids, seconds)
    traffic.run(8, editors)
    assert not traffic.failures
    assert set(traffic.statuses) <= {200, 400}, set(traffic.statuses)  # 400: the two are one object already
    assert len(traffic.merges) > 5
    # What was told about a moment stays true, and is what the log says.
    replay = Components(world)
    operations = open_log(folder)
    moments = [op.time_ms for op in operations]
    for at, found in sorted(traffic.told, key=lambda pair: pair[0]):
        assert (roots_over_http(server.url, ids, at) == found).all(), at
    done = 0
    for at, found in sorted(traffic.told, key=lambda pair: pair[0])[:: max(1, len(traffic.told) // 25)]:
        while done < len(moments) and moments[done] <= int(at * 1000):
            replay.apply(operations[done])
            done += 1
        assert same_partition(found, np.array(replay.labels())), at
    server.stop()
    return traffic


def open_log(folder: Path) -> list[Operation]:
    from localcave.journal import Journal

    journal = Journal(folder / "tables/small_pcg/journal.sqlite")
    operations = [entry.operation for entry in journal.entries()]
    journal.close()
    return operations


def test_readers_and_editors_at_once(start: Starter, world: Path, tmp_path: Path) -> None:
    drive(start, world, tmp_path, 3)


@pytest.mark.faults
def test_readers_and_editors_for_a_minute(start: Starter, world: Path, tmp_path: Path) -> None:
    drive(start, world, tmp_path, 60)


def test_the_worlds_own_history_equals_components(world: Path, tmp_path: Path) -> None:
    """The two oracles agree: exact sets on one side, components of edges on the other."""
    run = begin(world, tmp_path / "t_pcg")
    run.loaded.go_on(None, force=False)
    for operation in run.loaded.graph.view().operations:
        run.replay.apply(operation)
    expected = objects_at(world, datetime(2026, 12, 1, tzinfo=UTC))
    assert same_partition(np.array(run.replay.labels()), np.array(list(expected.values())))
