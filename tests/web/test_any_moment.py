"""Random questions about random moments of a dense history, against the replay of it."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
from flask import Flask
from werkzeug.serving import make_server

from materializationengine.domain.plan import RunKind
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts
from tests.harness import Engine

from . import frozen, lived
from .asking import API, holds, read
from .brute import Asked, Brute, as_text
from .conftest import Drive
from .lived import COLUMNS, MILLISECOND, NEVER, POINTS, TICK, Scene, day
from .test_live_history import expire

SINGLE = [[[name, "id"]] for name in ("contacts", "contacts", "contacts", "cells", "cells", "kinds", "notes")]
CHAINS = [
    [["kinds", "target_id"], ["cells", "id"]],
    [["cells", "id"], ["kinds", "target_id"], ["notes", "valid_id"]],
    [["cells", "pt_root_id"], ["contacts", "pre_pt_root_id"]],
    [["contacts", "post_pt_root_id"], ["cells", "pt_root_id"]],
]
LISTS = ["filter_in_dict", "filter_in_dict", "filter_notin_dict", "filter_out_dict"]
ORDERS = ["filter_greater_dict", "filter_less_equal_dict"]
SUFFIXES = ["", "_a", "_b"]


@dataclass
class Question:
    """A question about a moment, and what its asker lets pass."""

    asked: Asked
    at: datetime
    gaps: bool
    invalid: bool
    count: bool
    by_cursor: bool

    def options(self) -> str:
        return f"allow_missing_lookups={self.gaps}&allow_invalid_root_ids={self.invalid}&count={self.count}"


class Asker:
    """Draws questions, most of which find something out: a library's taste for small examples leaves those for last."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self._scene, self._dice = scene, random.Random(seed)

    def question(self) -> Question:
        dice = self._dice
        tables = dice.choice(dice.choice([SINGLE, CHAINS]))
        asked = Asked(tables, [])
        at = self._instant(asked.names)
        places = {}
        for _ in range(dice.choice([0, 1, 1, 1, 2, 2])):
            name = dice.choice(asked.names)
            field, column, value = self._filter(name, at)
            places[field, name, column] = value
        asked.filters = [(*place, value) for place, value in places.items()]
        asked.order = [self._order(asked.names) for _ in range(dice.choice([0, 0, 1, 2]))]
        asked.limit, asked.offset = dice.choice([None, dice.randint(1, 40)]), dice.choice([0, 0, dice.randint(1, 20)])
        asked.columns = self._selection(asked.names) if dice.random() < 0.3 else None
        asked.suffixes = dict(zip(asked.names, dice.sample(SUFFIXES, len(asked.names)), strict=True))
        asked.units = dice.choice([None, None, [1, 1, 1], [8, 8, 40], [64, 64, 40]])
        count = dice.random() < 0.15
        by_cursor = not count and dice.random() < 0.3
        return Question(asked, at, dice.random() < 0.7, dice.random() < 0.3, count, by_cursor)

    def _instant(self, names: list[str]) -> datetime:
        """Any moment at all, and those at which something happens: above all these very ones."""
        dice = self._dice
        if dice.random() < 0.45:
            return day(dice.choice([dice.uniform(0, lived.DAYS + 2)] * 9 + [400.0, -2.0]))
        lives = [one for name in names for one in self._scene.lived[name]]
        ends = [one.deleted for one in lives if one.deleted is not NEVER]
        kinds = (self._scene.edits, list(self._scene.marks.values()), [one.created for one in lives], ends)
        return dice.choice(dice.choice(kinds)) + dice.choice(
            [timedelta(0)] * 4 + [TICK, -TICK, MILLISECOND, 700 * TICK]
        )

    def _filter(self, table: str, at: datetime) -> tuple[str, str, Any]:
        """A filter on a column; two of three of those on tables with roots are on a root."""
        dice, roots = self._dice, [f"{point}_root_id" for point in POINTS[table]]
        column = dice.choice(roots if roots and dice.random() < 0.67 else COLUMNS[table])
        if column.endswith("_position"):
            corners = [sorted(dice.randint(0, 130) for _ in range(2)) for _ in "xyz"]
            return "filter_spatial_dict", column, [[low for low, _ in corners], [high for _, high in corners]]
        if dice.random() < 0.1:
            return "filter_null_dict", column, dice.random() < 0.5
        pool = self._roots(table, column, at) if column in roots else self._values(table, column, at)
        ordered = column not in ("valid", "tag", "cell_type", "classification_system")
        field = dice.choice([*LISTS, "filter_equal_dict", *(ORDERS if ordered else [])])
        several = [dice.choice(dice.choice(pool)) for _ in range(dice.randint(0, 6))]
        return field, column, several if field in LISTS else dice.choice(dice.choice(pool))

    def _roots(self, table: str, column: str, at: datetime) -> list[list[int]]:
        """Pools of roots that rows have then, above all where their table holds another one; a few of other moments."""
        scene = self._scene
        then = {row["id"]: row[column] for row in scene.tables(at).rows[table] if row[column]}
        held = {row["id"]: row[column] for row in scene.tables(scene.marks[table]).rows[table] if row[column]}
        moved = sorted({root for id_, root in then.items() if held.get(id_) not in (None, root)})
        if then and self._dice.random() < 0.85:
            return [
                pool for pool in (sorted({*then.values()}), moved, sorted({*scene.made(at)} & {*then.values()})) if pool
            ]
        gone = sorted({*held.values()} - {*then.values()})
        return [[0], gone or [0], sorted(scene.roots.values()), [-1, 7, int(scene.oracle.supervoxels[5])]]

    def _values(self, table: str, column: str, at: datetime) -> list[list[Any]]:
        known = [row[column] for row in self._scene.tables(at).rows[table] if row[column] is not None]
        return [known or [DEFAULTS.get(column, 1)]]

    def _order(self, names: list[str]) -> str:
        columns = [column for name in names for column in COLUMNS[name] if not column.endswith("_position")]
        return self._dice.choice(["", "-"]) + self._dice.choice(columns)

    def _selection(self, names: list[str]) -> dict[str, list[str]]:
        return {name: self._dice.sample(COLUMNS[name], self._dice.randint(1, 4)) for name in names}


DEFAULTS: dict[str, Any] = {"valid": True, "tag": True, "cell_type": "a", "classification_system": "x"}


class Judge:
    """What must be answered, by the replay; and asking it."""

    def __init__(self, scene: Scene, app: Flask) -> None:
        self.scene, self.app, self._client = scene, app, app.test_client()
        self.seen: dict[str, int] = {}

    def refusal(self, question: Question) -> tuple[int, str] | None:
        """The status and the word of what must be refused."""
        asked, at = question.asked, question.at
        if not all(self.scene.there(name, at) for name in asked.names):
            return 404, "unknown_table"
        if not question.gaps and any(self._waits(question, name) for name in asked.names):
            return 406, "missing_lookups"
        if not question.invalid and self.strangers(question):
            return 400, "bad_root_ids"
        return None

    def strangers(self, question: Question) -> list[int]:
        """Ids that rows are chosen by and that were no roots."""
        chosen = {
            value
            for kind, table, column, values in question.asked.filters
            if kind in ("filter_in_dict", "filter_equal_dict") and column in [f"{p}_root_id" for p in POINTS[table]]
            for value in (values if isinstance(values, list) else [values])
        }
        return sorted(value for value in chosen if value and not self.scene.is_root(value, question.at))

    def _waits(self, question: Question, name: str) -> bool:
        asked = question.asked
        ids = [f"{point}_{kind}" for point in POINTS[name] for kind in ("supervoxel_id", "root_id")]
        mentioned = [column for _, table, column, _ in asked.filters if table == name]
        mentioned += [column for table, column in asked.tables if table == name and len(asked.tables) > 1]
        mentioned += [c for text in asked.order for table, c in [self._orderer(asked, text)] if table == name]
        if not question.count:
            mentioned += COLUMNS[name] if asked.columns is None else asked.columns.get(name, [])
        if not set(mentioned) & set(ids):
            return False
        written = [(kind, c, value) for kind, table, c, value in asked.filters if table == name and c not in ids]
        return any(
            all(holds({"valid": True, **row}, *each) for each in written)
            for row in self.scene.waiting(name, question.at)
        )

    def _orderer(self, asked: Asked, text: str) -> tuple[str, str]:
        column = text.removeprefix("-")
        return next(name for name in asked.names if column in COLUMNS[name]), column

    def check(self, question: Question) -> None:
        """Ask, and compare."""
        asked = question.asked
        answer = self._post(question, **({"after": ""} if question.by_cursor else {}))
        if answer.status_code == 400 and "twice" in answer.json["message"]:
            return
        refused = self.refusal(question)
        self._count("refused" if refused else "answered")
        if refused is not None:
            assert (answer.status_code, answer.json["error"]) == refused, answer.text
            if refused[1] == "bad_root_ids":
                assert answer.json["details"]["root_ids"] == self.strangers(question)
            return
        assert answer.status_code == 200, answer.text
        brute = Brute(self.scene.tables(question.at), asked)
        if question.count:
            assert read(answer).to_pylist() == [{"count": len(brute.rows())}]
        elif question.by_cursor and asked.limit is not None:
            assert self._pages(question, answer) == brute.rows()[asked.offset :]
        else:
            self.compare(asked, read(answer).to_pylist(), brute.page())

    def _pages(self, question: Question, answer: Any) -> list[frozen.Row]:
        found = read(answer).to_pylist()
        while (cursor := answer.headers.get("X-Next-Cursor")) is not None:
            answer = self._post(question, after=cursor, offset=0)
            assert answer.status_code == 200, answer.text
            found += read(answer).to_pylist()
        return found

    def compare(self, asked: Asked, got: list[frozen.Row], expected: list[frozen.Row]) -> None:
        """Hold rows against those expected, in order where one was asked for."""
        self._count("rows" if expected else "empty")
        if asked.order or asked.limit is not None or asked.offset:
            assert got == expected
        else:
            assert sorted(map(as_text, got)) == sorted(map(as_text, expected))

    def check_version(self, question: Question, version: int) -> None:
        """The same of a version, be it there or expired: it refuses neither gaps nor strangers, and has no order."""
        asked = question.asked
        asked.limit, asked.offset, asked.order = None, 0, []
        path = f"{API}/datastack/{self.scene.stack}/{asked.path(version)}?count={question.count}"
        answer = self._client.post(path, json=asked.body())
        if answer.status_code == 400 and "twice" in answer.json["message"]:
            return
        assert answer.status_code == 200, answer.text
        brute = Brute(self.scene.tables(question.at), asked)
        if question.count:
            assert read(answer).to_pylist() == [{"count": len(brute.rows())}]
        else:
            self.compare(asked, read(answer).to_pylist(), brute.page())

    def _post(self, question: Question, **more: Any) -> Any:
        body = question.asked.live_body(question.at.isoformat()) | more
        return self._client.post(f"{API}/datastack/{self.scene.stack}/query?{question.options()}", json=body)

    def _count(self, what: str) -> None:
        self.seen[what] = self.seen.get(what, 0) + 1


@pytest.fixture
def scene(engine: Engine, small_world: Path, tmp_path: Path, datastack: str) -> Scene:
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": str(small_world / "segmentation")},
    }
    volume = tensorstore.open(spec, open=True).result()[..., 0].read().result().astype(np.int64)
    return lived.make(engine, datastack, small_world, tmp_path, volume, seed=11)


@pytest.fixture
def judge(engine: Engine, scene: Scene) -> Iterator[Judge]:
    app = create_app(replace(engine.services.settings, auth_disabled=True, localcave_url=engine.neighbors.url))
    yield Judge(scene, app)
    parts(app).close()


def ask_around(judge: Judge, many: int, seed: int = 1) -> None:
    """So many questions, the same every time."""
    asker = Asker(judge.scene, seed)
    for _ in range(many):
        question = asker.question()
        try:
            judge.check(question)
        except AssertionError as error:
            error.add_note(f"{question}, {judge.scene.marks}")
            raise


def ask_version(judge: Judge, version: int, at: datetime, many: int) -> None:
    """The same of a version of a moment."""
    asker = Asker(judge.scene, seed=2)
    for _ in range(many):
        judge.check_version(replace(asker.question(), at=at), version)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("many", [70, pytest.param(200, marks=pytest.mark.faults)])
def test_any_question_about_any_moment(engine: Engine, scene: Scene, judge: Judge, many: int) -> None:
    """Live tables whose marks lie before, after and at the moment, and differ from table to table."""
    dice = random.Random(5)
    engine.run(RunKind.INGEST, scene.stack, table="contacts", as_of=day(10))
    engine.run(RunKind.INGEST, scene.stack, as_of=day(25))
    scene.marks = {"contacts": day(10), "cells": day(25)}
    lived.add_waiting(scene, "contacts", day(50))
    lived.forget_roots(scene, dice)
    # Before the graph's birth only background has a root, and here it is owed.
    judge.check(Question(Asked([["contacts", "id"]], []), day(-2), True, False, False, False))
    ask_around(judge, many)

    engine.run(RunKind.UPDATE_DATABASE, scene.stack, as_of=day(40))
    scene.marks, scene.owed = dict.fromkeys(scene.marks, day(40)), set()
    lived.looked_up(scene)
    ask_around(judge, many)
    at = day(33.3)
    version = engine.run(RunKind.FREEZE, scene.stack, as_of=at).version
    ask_version(judge, version, at, many // 5)
    expire(engine.services.cluster, scene.database, scene.stack, version)
    ask_version(judge, version, at, many // 5)
    assert judge.seen["rows"] > many / 2 and judge.seen["refused"] > many / 10, judge.seen


def call_of(question: Question) -> dict[str, Any]:
    """The client's call that asks it; every other moment is told without a zone."""
    asked, at = question.asked, question.at
    (first, column), *others = asked.tables
    arguments: dict[str, Any] = {"allow_missing_lookups": question.gaps, "allow_invalid_root_ids": question.invalid}
    for field, table, name, value in asked.filters:
        field = "filter_out_dict" if field == "filter_notin_dict" else field
        arguments.setdefault(field, {}).setdefault(table, {})[name] = value
    arguments |= {"select_columns": asked.columns, "suffixes": asked.suffixes, "desired_resolution": asked.units}
    arguments |= {"limit": asked.limit, "offset": asked.offset, "split_positions": True, "metadata": False}
    arguments |= {"timestamp": {"moment": at.isoformat(), "naive": at.microsecond % 2 == 0}}
    joins = [[first, column, other, its] for other, its in others]
    return {"method": "live_live_query", "given": [first], "arguments": {**arguments, "joins": joins or None}}


def for_client(scene: Scene, many: int) -> list[Question]:
    """Questions that the client has words for, the same every time."""
    asker, found = Asker(scene, seed=3), []
    while len(found) < many:
        question = asker.question()
        question.asked.order = []
        if "filter_null_dict" not in {field for field, *_ in question.asked.filters}:
            found.append(replace(question, count=False, by_cursor=False))
    return found


@pytest.mark.timeout(300)
def test_any_moment_through_the_client(engine: Engine, scene: Scene, judge: Judge, client_home: Drive) -> None:
    """The same questions from the real client: rows, refusals, and the dtypes of its frames."""
    engine.run(RunKind.INGEST, scene.stack, as_of=day(25))
    scene.marks = {"contacts": day(25), "cells": day(25)}
    lived.add_waiting(scene, "contacts", day(50))
    asked = for_client(scene, 80)
    server = make_server("127.0.0.1", 0, judge.app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        answers = client_home("calls.py", server=url, datastack=scene.stack, calls=[call_of(one) for one in asked])
    finally:
        server.shutdown()
        server.server_close()
    seen = 0
    for question, answer in zip(asked, answers, strict=True):
        refused, told = judge.refusal(question), answer.get("error", "")
        if "twice" in told:
            continue
        if refused is not None:
            assert f"{refused[0]} Client Error" in told and refused[1] in told, (question, answer)
            continue
        assert not told, (question, told)
        rows = [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]
        judge.compare(question.asked, rows, Brute(scene.tables(question.at), question.asked).page())
        ids = [kind for name, kind in zip(answer["columns"], answer["dtypes"], strict=True) if "_root_id" in name]
        assert set(ids) <= {"Int64"}
        seen += bool(rows)
    assert seen > 25
