"""A moment asked of live tables is the moment frozen: the same rows, the same roots."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from flask import Flask
from werkzeug.serving import make_server

from materializationengine.domain.plan import RunKind
from materializationengine.domain.schemas import schema
from materializationengine.kernel import moments
from materializationengine.storage import annotation_catalog, annotations, first_rows, live_rows
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts
from tests.harness import Engine
from tests.oracle import Oracle, same_partition

from .asking import API, read

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")


class Doors:
    """The application before one datastack."""

    def __init__(self, app: Flask, datastack: str) -> None:
        self.app, self._client, self._path = app, app.test_client(), f"{API}/datastack/{datastack}"

    def get(self, path: str) -> Any:
        return self._client.get(f"{self._path}/{path}")

    def live(self, at: datetime, table: str = "synapses", options: str = "", **body: Any) -> pa.Table:
        answer = self.ask(at, table, options, **body)
        assert answer.status_code == 200, answer.text
        return read(answer)

    def ask(self, at: datetime, table: str = "synapses", options: str = "", **body: Any) -> Any:
        body = {"table": table, "timestamp": at.isoformat(), **body}
        return self._client.post(f"{self._path}/query?{options}", json=body)

    def frozen(self, version: int | None, table: str = "synapses", **body: Any) -> pa.Table:
        answer = self._client.post(f"{self._path}/version/{version}/table/{table}/query", json=body)
        assert answer.status_code == 200, answer.text
        return read(answer)


@pytest.fixture
def doors(engine: Engine, small_world: Path, datastack: str) -> Iterator[Doors]:
    """A datastack with the world's synapses, and the application before it."""
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, BIRTH)
    engine.run(RunKind.INGEST, datastack, as_of=BIRTH)
    app = create_app(replace(engine.services.settings, auth_disabled=True, localcave_url=engine.neighbors.url))
    yield Doors(app, datastack)
    parts(app).close()


@pytest.fixture
def small_cuts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an odd seed hardly an answer is as short as was expected, and is asked for anew."""
    if request.node.callspec.params["seed"] % 2:
        monkeypatch.setattr(first_rows, "FEW", 3)
        monkeypatch.setattr(live_rows, "MANY_PAIRS", 3)


def day(number: float) -> datetime:
    return BIRTH + timedelta(days=number)


def by_id(table: pa.Table) -> pa.Table:
    return table.sort_by("id").combine_chunks()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.usefixtures("small_cuts")
def test_live_at_a_moment_equals_frozen_at_it(engine: Engine, doors: Doors, datastack: str, seed: int) -> None:
    dice = random.Random(seed)
    for mark in sorted(dice.sample(range(1, 60), 2)):
        engine.run(RunKind.UPDATE_ROOTS, datastack, as_of=day(mark))
        standing = set(doors.live(day(mark))["pre_pt_root_id"].to_pylist())
        for at in (day(mark), day(dice.uniform(0.5, mark)), day(dice.uniform(mark, 61))):
            live = by_id(doors.live(at))
            frozen = doors.frozen(engine.run(RunKind.FREEZE, datastack, as_of=at).version)
            assert live.equals(by_id(frozen)), f"marked {mark}, asked about {at}"
            _filtered_alike(doors, dice, at, live, standing)


def _filtered_alike(doors: Doors, dice: random.Random, at: datetime, whole: pa.Table, standing: set[Any]) -> None:
    rows = whole.to_pylist()
    known = sorted({row["pre_pt_root_id"] for row in rows if row["pre_pt_root_id"]})
    # One of them is not what the live table holds, wherever an edit came between.
    some = [dice.choice([root for root in known if root not in standing] or known), dice.choice(known)]
    chosen = doors.live(at, filter_in_dict={"synapses": {"pre_pt_root_id": some}})
    assert by_id(chosen).to_pylist() == [row for row in rows if row["pre_pt_root_id"] in some]
    most = doors.live(at, filter_in_dict={"synapses": {"pre_pt_root_id": known[1:]}})
    assert by_id(most).to_pylist() == [row for row in rows if row["pre_pt_root_id"] in known[1:]]
    size = sorted(row["size"] for row in rows)[len(rows) // 2]
    in_list, larger = {"synapses": {"pre_pt_root_id": some}}, {"synapses": {"size": size}}
    large = doors.live(at, filter_in_dict=in_list, filter_greater_dict=larger)
    wanted = [row for row in rows if row["pre_pt_root_id"] in some and row["size"] > size]
    assert by_id(large).to_pylist() == wanted
    both = {"synapses": {"pre_pt_root_id": some[0], "post_pt_root_id": dice.choice(rows)["post_pt_root_id"]}}
    pair = both["synapses"]
    found = doors.live(at, filter_equal_dict=both)
    assert by_id(found).to_pylist() == [row for row in rows if all(row[c] == v for c, v in pair.items())]
    others = doors.live(at, filter_notin_dict={"synapses": {"pre_pt_root_id": known[: len(known) // 2]}})
    assert by_id(others).to_pylist() == [row for row in rows if row["pre_pt_root_id"] not in known[: len(known) // 2]]
    paged = doors.live(at, limit=7, offset=5, filter_in_dict={"synapses": {"pre_pt_root_id": some}})
    assert paged.to_pylist() == by_id(chosen).to_pylist()[5:12]


def test_the_roots_of_a_moment_are_the_oracles(doors: Doors, small_world: Path) -> None:
    for number in (0.5, 20, 60):
        rows = by_id(doors.live(day(number)))
        supervoxels = rows["pre_pt_supervoxel_id"].to_numpy()
        objects = Oracle(small_world).objects_of(supervoxels, day(number))
        assert same_partition(rows["pre_pt_root_id"].to_numpy(), objects)


def test_rows_come_and_go_at_their_own_moments(engine: Engine, doors: Doors, datastack: str) -> None:
    database, cluster = f"{datastack}_volume", engine.services.cluster
    point = doors.live(day(1), limit=1).to_pylist()[0]
    place = tuple(point[f"pre_pt_position_{axis}"] for axis in "xyz")
    new = annotation_catalog.NewTable("marks", schema("bound_tag"), "marks", "0", (8.0, 8.0, 40.0))
    with annotations.writing(cluster, database) as connection:
        annotation_catalog.create(connection, new)
    with annotations.writing(cluster, database) as connection:
        held = annotations.hold(connection, "marks")
        first, second = annotations.post(connection, held, [{"pt_position": place, "tag": tag} for tag in "ab"])
    born = moments.aware(held.stamp)
    refused = doors.ask(born, "marks")
    assert refused.status_code == 406 and "2 rows of marks" in refused.json["message"]
    gaps = doors.ask(born, "marks", "allow_missing_lookups=true")
    assert [row["pt_root_id"] for row in read(gaps).to_pylist()] == [None, None]
    assert "2 rows of marks" in gaps.headers["Warning"]
    engine.run(RunKind.INGEST, datastack)
    with annotations.writing(cluster, database) as connection:
        held = annotations.hold(connection, "marks")
        annotations.delete(connection, held, [first])
    gone, instant = moments.aware(held.stamp), timedelta(microseconds=1)
    for at, ids in ((born, [first, second]), (gone - instant, [first, second]), (gone, [second])):
        rows = by_id(doors.live(at, "marks")).to_pylist()
        assert [row["id"] for row in rows] == ids
        assert all(row["valid"] and row["pt_root_id"] for row in rows)
        version = engine.run(RunKind.FREEZE, datastack, as_of=at).version
        assert by_id(doors.frozen(version, "marks")).to_pylist() == rows
    assert len(doors.live(born - instant, "marks")) == 0
    assert doors.get("table/marks/unique_string_values").json == {"tag": ["b"]}


def test_what_is_no_root_at_the_moment_is_named(engine: Engine, doors: Doors, datastack: str) -> None:
    early = {row for row in doors.live(day(0.5))["pre_pt_root_id"].to_pylist() if row}
    late = {row for row in doors.live(day(60))["pre_pt_root_id"].to_pylist() if row}
    old = min(early - late)
    asked = {"filter_equal_dict": {"synapses": {"pre_pt_root_id": old}}}
    refused = doors.ask(day(60), **asked)
    assert refused.status_code == 400 and str(old) in refused.json["message"]
    passed = doors.ask(day(60), options="allow_invalid_root_ids=true", **asked)
    assert read(passed).num_rows == 0 and str(old) in passed.headers["Warning"]
    assert doors.live(day(0.5), **asked).num_rows > 0


def test_a_root_may_be_asked_for_at_the_very_millisecond_of_its_edit(doors: Doors, small_world: Path) -> None:
    """The graph calls only the old root the latest then, while rows hold the new one (outside_services 1.4)."""
    log = (small_world / "graph/edits.jsonl").read_text().splitlines()
    for edit in map(json.loads, log):
        at = moments.parse(edit["timestamp"])
        roots = {root for root in doors.live(at)["pre_pt_root_id"].to_pylist() if root}
        rows = doors.live(at, filter_in_dict={"synapses": {"pre_pt_root_id": sorted(roots)}})
        assert set(rows["pre_pt_root_id"].to_pylist()) == roots


def test_an_id_that_can_be_no_root_is_named_without_the_graph(doors: Doors) -> None:
    for odd in (-1, 7, -(2**63), 2**63 - 1, (1 << 56) + 5, (2 << 56) + 5):
        asked = {"filter_in_dict": {"synapses": {"pre_pt_root_id": [odd, 0]}}}
        refused = doors.ask(day(3), **asked)
        assert refused.status_code == 400 and refused.json["details"]["root_ids"] == [odd]
        passed = doors.ask(day(3), options="allow_invalid_root_ids=true", **asked)
        assert passed.status_code == 200 and set(read(passed)["pre_pt_root_id"].to_pylist()) <= {0}


def test_whatever_a_calendar_has_is_a_moment_and_whatever_a_table_has_an_order(doors: Doors) -> None:
    last, rows = datetime.max.replace(tzinfo=BIRTH.tzinfo), by_id(doors.live(day(61)))
    assert by_id(doors.live(last)).equals(rows)
    chosen = {"filter_equal_dict": {"synapses": {"pre_pt_root_id": max(rows["pre_pt_root_id"].to_pylist())}}}
    assert doors.live(last, **chosen).num_rows > 0
    assert doors.ask(datetime.min.replace(tzinfo=BIRTH.tzinfo)).status_code == 404
    ordered = doors.live(day(61), order_by=["-valid"], limit=5)
    assert ordered["id"].to_pylist() == rows["id"].to_pylist()[:5]


def test_an_edit_that_the_log_tells_of_later_counts_from_its_own_moment(
    engine: Engine, small_world: Path, datastack: str
) -> None:
    """The log lists edits by when they were written; as late as the margin says, they are part of the answer."""
    engine.load(small_world, datastack, day(20))
    engine.upload_synapses(small_world, datastack, BIRTH)
    engine.run(RunKind.INGEST, datastack, as_of=BIRTH)
    log = [json.loads(line) for line in (small_world / "graph/edits.jsonl").read_text().splitlines()]
    late = [moments.parse(edit["timestamp"]) for edit in log if moments.parse(edit["timestamp"]) > day(20)]
    engine.neighbors.faults(visibility_delay_s=1.0, datastack=datastack)
    try:
        engine.edit(datastack, late[-1])
    finally:
        engine.neighbors.mend()
    time.sleep(1.5)
    app = create_app(replace(engine.services.settings, auth_disabled=True, as_of_margin=2.0, delta_margin=0.0))
    doors, oracle = Doors(app, datastack), Oracle(small_world)
    for at in late:
        rows = by_id(doors.live(at))
        for side in ("pre", "post"):
            objects = oracle.objects_of(rows[f"{side}_pt_supervoxel_id"].to_numpy(), at)
            assert same_partition(rows[f"{side}_pt_root_id"].to_numpy(), objects), at
    parts(app).close()


def test_a_moment_is_told_in_the_headers(doors: Doors) -> None:
    answer = doors.ask(day(3), limit=1)
    assert answer.headers["X-Effective-Timestamp"] == "2026-01-04T00:00:00.000000"
    assert answer.headers["X-Consistency"] == "final"
    ahead = doors.ask(moments.now() + timedelta(hours=1), limit=1)
    assert ahead.headers["X-Consistency"] == "provisional"


def test_a_table_that_was_not_there_yet_is_unknown(doors: Doors) -> None:
    answer = doors.ask(BIRTH - timedelta(days=1))
    assert answer.status_code == 404 and "there were none" in answer.json["message"]


def test_counts_and_pages_of_a_moment(doors: Doors) -> None:
    whole = by_id(doors.live(day(30))).to_pylist()
    assert doors.live(day(30), options="count=true").to_pylist() == [{"count": len(whole)}]
    seen, cursor = [], ""
    while cursor is not None:
        body = {"limit": 700, "after": cursor, "order_by": ["-post_pt_root_id", "size"]}
        answer = doors.ask(day(30), **body)
        assert answer.status_code == 200, answer.text
        seen += read(answer).to_pylist()
        cursor = answer.headers.get("X-Next-Cursor")
    order = sorted(whole, key=lambda row: (-row["post_pt_root_id"], row["size"], row["id"]))
    assert seen == order


def test_the_clients_ways_to_ask_for_a_moment_agree(
    engine: Engine, doors: Doors, datastack: str, client_home: Callable[..., Any]
) -> None:
    engine.run(RunKind.COMPLETE, datastack, as_of=day(20))
    engine.run(RunKind.UPDATE_ROOTS, datastack, as_of=day(40))
    at = day(33)
    rows = by_id(doors.live(at)).to_pylist()
    roots = sorted({row["pre_pt_root_id"] for row in rows if row["pre_pt_root_id"]})[::3]
    names = ["id", "pre_pt_root_id", "post_pt_root_id", "pre_pt_supervoxel_id"]
    wanted = [[row[name] for name in names] for row in rows if row["pre_pt_root_id"] in roots]
    server = make_server("127.0.0.1", 0, doors.app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        told = client_home("live.py", server=url, datastack=datastack, moment=at.isoformat(), roots=roots)
    finally:
        server.shutdown()
        server.server_close()
    assert wanted and told["frames"] == [wanted] * 4
    assert [each["status"] for each in told["started"]] == ["RUNNING"] * 2 and told["texts"] == {}
