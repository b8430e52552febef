"""The contract, kept by a small server in this process and by local CAVE in its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import requests

from materializationengine.domain.errors import UnknownDatastack
from materializationengine.domain.ports import Reason
from materializationengine.gateways.auth import AuthService
from materializationengine.gateways.chunkedgraph import HttpChunkedGraph
from materializationengine.gateways.datastacks import InfoService
from materializationengine.gateways.segmentation import open_segmentation

from .contract import ChunkedGraphContract, Subject, same_partition
from .mini_graph import BIRTH, MiniGraph, milliseconds, node
from .servers import serving


class MiniTruth:
    """The labels of a few edits, worked out by hand."""

    birth = BIRTH

    def __init__(self, graph: MiniGraph) -> None:
        self.supervoxels = graph.supervoxels
        self.edit_times = [BIRTH + timedelta(days=d) for d in (1, 2, 3)]
        one, two, three = (node(1, n) for n in (1, 2, 3))
        graph.edit(self.edit_times[0], [one, two, three])
        graph.edit(self.edit_times[1], [one], [two, three])
        graph.edit(self.edit_times[2], [one, node(1, 4)])

    def labels_at(self, moment: datetime) -> np.ndarray:
        done = sum(milliseconds(t) <= milliseconds(moment) for t in self.edit_times)
        first = ([1, 2, 3, 4], [1, 1, 1, 4], [1, 2, 2, 4], [1, 2, 2, 1])[done]
        return np.array([*first, *range(5, len(self.supervoxels) + 1)])


class TestMiniGraph(ChunkedGraphContract):
    @pytest.fixture
    def subject(self) -> Iterator[Subject]:
        graph = MiniGraph()
        with serving(graph) as server:
            yield Subject(HttpChunkedGraph(server.url, graph.table, batch=11), MiniTruth(graph))


class WorldTruth:
    """A replay of a world folder's edit log."""

    def __init__(self, folder: Path) -> None:
        self.supervoxels = np.load(folder / "graph/supervoxels.npy").astype(np.int64)
        self._initial = np.load(folder / "graph/initial_object.npy").astype(np.int64)
        self._edits = [json.loads(line) for line in (folder / "graph/edits.jsonl").read_text().splitlines()]
        self.birth = datetime.fromisoformat(json.loads((folder / "about.json").read_text())["created"])
        self.edit_times = [datetime.fromisoformat(e["timestamp"]) for e in self._edits]

    def labels_at(self, moment: datetime) -> np.ndarray:
        labels, fresh = self._initial.copy(), int(self._initial.max()) + 1
        for edit, time in zip(self._edits, self.edit_times, strict=True):
            if milliseconds(time) > milliseconds(moment):
                break
            if edit["type"] == "merge":
                a, b = labels[np.searchsorted(self.supervoxels, edit["supervoxels"])]
                labels[labels == b] = a
            else:
                labels[np.searchsorted(self.supervoxels, edit["split_off"])] = fresh
                fresh += 1
        return labels


@contextmanager
def local_cave(folder: Path) -> Iterator[str]:
    """Local CAVE in a process of its own, on a port it picks."""
    command = [sys.executable, "-m", "localcave", "serve", "--dir", str(folder), "--port", "0"]
    with (
        (folder.parent / "localcave.log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def load(server: str, folder: Path, name: str) -> Subject:
    body = {"folder": str(folder), "datastack": name, "until": None}
    answer = requests.post(f"{server}/localcave/worlds", json=body, timeout=60)
    assert answer.ok, answer.text
    return Subject(HttpChunkedGraph(server, f"{name}_pcg"), WorldTruth(folder))


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    with local_cave(tmp_path_factory.mktemp("localcave") / "state") as url:
        yield url


@pytest.fixture(scope="module")
def small_world(server, tmp_path_factory) -> Subject:
    """A generated world, loaded with all its edits as datastack `small`."""
    folder = tmp_path_factory.mktemp("world") / "w"
    make = ["world", "make", "--seed", "5", "--size", "128", "--synapses", "300", str(folder)]
    subprocess.run([sys.executable, "-m", "localcave", *make], check=True, timeout=120, capture_output=True)
    return load(server, folder, "small")


class TestLocalCave(ChunkedGraphContract):
    @pytest.fixture
    def subject(self, small_world) -> Subject:
        return small_world

    def test_from_points_to_roots(self, subject: Subject):
        """Coordinates to supervoxels to roots, through the volume that the graph itself names."""
        reader = open_segmentation("graphene://any/segmentation/table/small_pcg", subject.graph)
        folder = Path(subject.graph.data_source().path.removeprefix("file://")).parent
        truth = np.load(folder / "truth/supervoxels.npy").astype(np.int64)
        points = np.load(folder / "annotations/synapses/postsyn_coords.npy")
        found = reader.supervoxels(points.astype(float), (16.0, 16.0, 40.0))
        np.testing.assert_array_equal(found.ids, truth[:, 1])
        assert set(found.reason.tolist()) <= {Reason.FOUND, Reason.BACKGROUND}
        assert subject.graph.roots(found.ids, subject.end).resolved.all()


@pytest.mark.usefixtures("small_world")
class TestLocalCavesOtherServices:
    def test_the_info_service(self, server):
        service = InfoService(server)
        assert "small" in service.names()
        stack = service.get("small")
        assert (stack.aligned_volume, stack.pcg_table) == ("small_volume", "small_pcg")
        assert stack.segmentation_source.startswith("graphene://")
        with pytest.raises(UnknownDatastack, match=r"did you mean small\?"):
            service.get("smal")

    def test_the_auth_service(self, server):
        user = AuthService(server).require("any token", "edit", "datastack", "small")
        assert user.id >= 0


def test_the_real_world(server, em512: Path):
    """Partitions at the days of which the world tells the truth itself."""
    subject = load(server, em512, "em512")
    ends = np.load(em512 / "truth/supervoxels.npy").astype(np.int64).ravel()
    for path in sorted((em512 / "truth").glob("object_day*.npy")):
        at = subject.truth.birth + timedelta(days=int(path.stem.removeprefix("object_day")))
        found = subject.graph.roots(ends, at)
        objects = np.load(path).ravel()
        assert found.resolved.all()
        assert same_partition(found.roots, objects)
        np.testing.assert_array_equal(found.roots == 0, objects == 0)
