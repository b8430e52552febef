"""The real caveclient 8.2.1 against a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .clients import run_driver
from .conftest import Server
from .replay import objects_at, same_partition

BIRTH = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def report(server: Server, world: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("home")
    return run_driver("client_driver.py", home, server.url, str(world / "graph/supervoxels.npy"))


def test_roots(report: dict[str, Any], world: Path) -> None:
    owner = objects_at(world, BIRTH + timedelta(days=61))
    assert same_partition(np.array(report["roots"]), np.array(list(owner.values())))
    assert report["one_root"] == report["roots"][0]
    assert report["level2"] >> 56 == 2
    assert report["empty"] == 0
    assert report["layers"] == 3


def test_latest_and_times(report: dict[str, Any]) -> None:
    assert all(report["is_latest"])
    assert not any(report["is_latest_old"])
    assert min(report["times"]) >= BIRTH.isoformat()
    # the client takes a millisecond off, the server the microseconds
    assert report["latest_times"] == [(BIRTH + timedelta(days=61, milliseconds=122)).isoformat()]


def test_deltas_name_what_changed(report: dict[str, Any]) -> None:
    first, last = set(report["first_roots"]), set(report["roots"])
    old, new = set(report["old"]), set(report["new"])
    assert (first - last, last - first) == (first & old, last & new)
    assert last == (first | new) - old
    assert report["no_delta"] == [0, 0]


def test_lineage(report: dict[str, Any]) -> None:
    assert sorted(report["past"]) == sorted(report["originals"])
    assert set(report["latest_of_old"]) <= set(report["roots"])
    assert report["lineage"] == ["directed", "graph", "links", "multigraph", "nodes"]
    assert report["nodes"] >= 1


def test_other_services(report: dict[str, Any]) -> None:
    assert report["datastacks"] == ["small"]
    assert "nucleus_detection" in report["schemas"]
    assert "definitions" in report["synapse"]
    assert report["user"] == "AUTH_DISABLED"
    assert datetime.fromisoformat(report["oldest"]) > BIRTH
