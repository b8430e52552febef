"""Live at a moment is frozen at it, whatever was written and edited, and whenever; and so is what has expired."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from materializationengine.domain.plan import RunKind
from materializationengine.kernel import moments
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts
from tests.oracle import same_partition
from tests.steps.test_history_property import SEEDS, TABLE, History, Stage
from tests.steps.test_history_property import stage as stage

from .asking import API, read

IDS = ["pre_pt_root_id", "post_pt_root_id"]


class LiveHistory(History):
    """The same random history, asked through the doors of the read API."""

    app: Flask

    def _check(self, version: int | None, as_of: datetime, ids_in: str = "") -> None:
        super()._check(version, as_of, ids_in)
        assert version is not None
        frozen = self._frozen(version)
        assert by_id(self._live(as_of)).equals(by_id(frozen)), f"live at {as_of} differs from version {version}"
        self._filtered(as_of, by_id(frozen).to_pylist())
        self._expire(version)
        gone = self._frozen(version)
        assert by_id(gone).equals(by_id(frozen)), f"version {version} is another after its end"

    @precondition(lambda self: self.rows)
    @rule(share=st.floats(0, 1))
    def ask(self, share: float) -> None:
        """A moment of which there is no version, held against the oracle."""
        as_of = self._moment(share)
        expected = sorted((row for row in self.rows if row.visible(as_of)), key=lambda row: row.id)
        rows = by_id(self._live(as_of))
        assert rows["id"].to_pylist() == [row.id for row in expected]
        assert rows["size"].to_pylist() == [row.size for row in expected]
        ids = {name: rows[name].fill_null(-1).to_numpy() for name in [*IDS, *map(supervoxel_of, IDS)]}
        supervoxels = np.stack([ids[supervoxel_of(name)] for name in IDS], axis=1)
        roots = np.stack([ids[name] for name in IDS], axis=1)
        there = supervoxels != -1
        if there.any():
            assert same_partition(roots[there], self.oracle.objects_of(supervoxels[there], as_of))

    @precondition(lambda self: self._living())
    @rule(seed=SEEDS)
    def fall_behind(self, seed: int) -> None:
        """Edits of the very rows, after the live roots: what a row is found by is not what the table holds."""
        dice = random.Random(seed)
        self.ingest()
        for _ in range(3):
            owner = self.oracle.objects(moments.now())
            rows = [dice.choice(self._living()) for _ in range(2)]
            pair = [int(self.stage.volume[row.points[dice.randrange(2)]]) for row in rows]
            owners = owner[np.searchsorted(self.oracle.supervoxels, pair)]
            if all(pair) and owners[0] != owners[1]:
                self._edit({"type": "merge", "supervoxels": pair})
        self.freeze(1.0, False)

    @rule(share=st.floats(0, 1))
    def update_roots(self, share: float) -> None:
        """The live roots move on to some moment, which only goes forward."""
        self.stage.engine.run(RunKind.UPDATE_ROOTS, self.name, as_of=self._moment(share))

    @rule()
    def ask_before_the_first(self) -> None:
        """Before the table was made there is none."""
        answer = self._post("query", {"table": TABLE, "timestamp": (self.born - timedelta(days=1)).isoformat()})
        assert answer.status_code == 404

    def _filtered(self, as_of: datetime, rows: list[dict[str, Any]]) -> None:
        for column in IDS:
            known = sorted({row[column] for row in rows if row[column]})
            for some in (known[:1], known[::2]):
                body = {"filter_in_dict": {TABLE: {column: some}}}
                wanted = [row for row in rows if row[column] in some]
                assert by_id(self._live(as_of, **body)).to_pylist() == wanted
                page = self._live(as_of, **body, limit=3, offset=1).to_pylist()
                assert page == wanted[1:4], "a page is one of the final result"

    def _live(self, as_of: datetime, **body: Any) -> pa.Table:
        asked = {"table": TABLE, "timestamp": as_of.isoformat(), **body}
        return table(self._post("query?allow_missing_lookups=true", asked))

    def _frozen(self, version: int) -> pa.Table:
        return table(self._post(f"version/{version}/table/{TABLE}/query", {}))

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self.app.test_client().post(f"{API}/datastack/{self.name}/{path}", json=body)

    def _expire(self, version: int) -> None:
        """As a retirement leaves it: the version is marked, its database dropped."""
        expire(self.stage.engine.services.cluster, self.database, self.name, version)


def expire(cluster: Any, live: str, datastack: str, version: int) -> None:
    """End a version."""
    with cluster.connect(live) as connection:
        connection.execute(
            "UPDATE analysisversion SET status = 'EXPIRED', valid = false WHERE datastack = $1 AND version = $2::int",
            *(datastack, version),
        )
        connection.commit()
    with closing(cluster.raw()) as admin:
        admin.autocommit = True
        admin.cursor().execute(f'DROP DATABASE "{datastack}__mat{version}" WITH (FORCE)')


def by_id(rows: pa.Table) -> pa.Table:
    return rows.sort_by("id").combine_chunks()


def supervoxel_of(root: str) -> str:
    return root.replace("root", "supervoxel")


def table(answer: Any) -> pa.Table:
    assert answer.status_code == 200, answer.text
    return read(answer)


@pytest.fixture
def doors(stage: Stage) -> Iterator[Flask]:
    app = create_app(replace(stage.engine.services.settings, auth_disabled=True, delta_margin=1.0))
    yield app
    parts(app).close()


def test_any_moment_of_a_random_history_is_answered_as_it_was(stage: Stage, doors: Flask) -> None:
    LiveHistory.stage, LiveHistory.app = stage, doors
    run_state_machine_as_test(
        LiveHistory,
        settings=settings(
            max_examples=4,
            stateful_step_count=14,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
