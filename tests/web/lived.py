"""A live database with a dense history, and what must be answered about any moment of it.

Rows, their lifetimes and the edits are drawn here; what was true when is counted from them and from the replay of
`tests.oracle`. The graph is asked only what its ids are called: an object of the replay and a root are the same thing
under two names, and a name that changed its meaning fails the building of the scene.
"""

from __future__ import annotations

import bisect
import json
import random
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import requests

from materializationengine.domain.schemas import schema
from materializationengine.kernel import moments
from materializationengine.storage import annotation_catalog, annotations
from materializationengine.storage.live_database import ensure
from tests.harness import Engine, copy_world
from tests.oracle import Oracle

from . import frozen
from .brute import Tables

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")
TICK, MILLISECOND = timedelta(microseconds=1), timedelta(milliseconds=1)
DAYS = 60.0
EDITS = 70
NEVER = datetime.max.replace(tzinfo=BIRTH.tzinfo)

SCHEMAS = {
    "contacts": "nocenter_synapse",
    "cells": "nucleus_detection",
    "kinds": "cell_type_reference",
    "notes": "pt_bool_valid",
}
POINTS = {"contacts": ("pre_pt", "post_pt"), "cells": ("pt",), "kinds": (), "notes": ()}
COLUMNS = {
    "contacts": [
        *("id", "valid", "pre_pt_position", "pre_pt_supervoxel_id", "pre_pt_root_id"),
        *("post_pt_position", "post_pt_supervoxel_id", "post_pt_root_id", "size"),
    ],
    "cells": [
        *("id", "valid", "volume", "pt_position", "pt_supervoxel_id", "pt_root_id"),
        *("bb_start_position", "bb_end_position"),
    ],
    "kinds": ["id", "valid", "target_id", "classification_system", "cell_type"],
    "notes": ["id", "valid", "pt_position", "tag", "valid_id"],
}
VOXEL = (16.0, 16.0, 40.0)
RESOLUTION = {"contacts": (16.0, 16.0, 40.0), "cells": (8.0, 8.0, 40.0), "kinds": (1.0, 1.0, 1.0)}
RESOLUTION |= {"notes": (4.0, 4.0, 40.0)}
TEXTS = ["a", "b", "it's", "naïve Ω \N{PILE OF POO}", "", None]
MADE = {"contacts": -4.0, "cells": 2.0, "kinds": 2.0, "notes": 3.0}
"""Days after the graph's birth at which the tables were made; `contacts` is older than the graph itself."""


@dataclass(frozen=True)
class Lived:
    """A row, what was looked up for it, and when it was there."""

    row: frozen.Row
    created: datetime
    deleted: datetime
    waits: bool = False
    """Whether nobody has looked it up yet."""

    def visible(self, at: datetime) -> bool:
        return self.created <= at < self.deleted


@dataclass
class Scene:
    """The tables' whole history. `marks` are the moments whose roots the live tables hold, `owed` roots they lack."""

    engine: Engine
    stack: str
    oracle: Oracle
    volume: np.ndarray
    lived: dict[str, list[Lived]]
    roots: dict[int, int]
    edits: list[datetime]
    marks: dict[str, datetime] = field(default_factory=dict)
    owed: set[tuple[str, int]] = field(default_factory=set)

    def __repr__(self) -> str:
        return f"Scene of {self.stack}"

    @property
    def database(self) -> str:
        return f"{self.stack}_volume"

    def __post_init__(self) -> None:
        # A replay reads the whole log, so its states are kept by the number of edits until then.
        self._owned: dict[int, dict[int, int]] = {}
        self._places: dict[tuple[str, tuple[float, ...]], int] = {}

    def owned(self, at: datetime) -> dict[int, int]:
        """The root of each supervoxel at a moment, as if the graph had always been there."""
        number = bisect.bisect_right(self.edits, at)
        if number not in self._owned:
            named = [self.roots[one] for one in self.oracle.objects(at).tolist()]
            self._owned[number] = dict(zip(self.oracle.supervoxels.tolist(), named, strict=True))
        return self._owned[number]

    def root(self, supervoxel: int, at: datetime) -> int | None:
        """The root of a supervoxel at a moment; before its birth the graph knows none."""
        if supervoxel == 0 or at < BIRTH:
            return 0 if supervoxel == 0 else None
        return self.owned(at)[supervoxel]

    def is_root(self, root: int, at: datetime) -> bool:
        """Whether a filter may ask for it: the roots of the moment, and those that an edit of its millisecond ended."""
        floor = at.replace(microsecond=at.microsecond // 1000 * 1000)
        return any(root in self.owned(moment).values() for moment in (at, floor - TICK) if moment >= BIRTH)

    def made(self, at: datetime) -> list[int]:
        """The roots that the last edit until a moment made."""
        edit = max((edit for edit in self.edits if edit <= at), default=BIRTH)
        return sorted({*self.owned(edit).values()} - {*self.owned(edit - TICK).values()})

    def tables(self, at: datetime) -> Tables:
        """Everything that was there, with the roots of the moment, by id."""
        rows = {name: [self._row(name, one, at) for one in lived if one.visible(at)] for name, lived in self._sorted()}
        return Tables(rows, COLUMNS, RESOLUTION)

    def waiting(self, table: str, at: datetime) -> list[frozen.Row]:
        """Rows of the moment that nobody has looked up."""
        return [one.row for one in self.lived[table] if one.waits and one.visible(at)]

    def there(self, table: str, at: datetime) -> bool:
        """Whether the table had been made."""
        return day(MADE[table]) <= at

    def _sorted(self) -> list[tuple[str, list[Lived]]]:
        return [(name, sorted(lived, key=lambda one: one.row["id"])) for name, lived in self.lived.items()]

    def _row(self, name: str, one: Lived, at: datetime) -> frozen.Row:
        row = {"valid": True, **one.row}
        for point in POINTS[name]:
            supervoxel = None if one.waits else self._supervoxel(name, row[f"{point}_position"])
            row[f"{point}_supervoxel_id"] = supervoxel
            row[f"{point}_root_id"] = None if supervoxel is None else self.root(supervoxel, at)
            if (name, row["id"]) in self.owed and at == self.marks[name]:
                # What a table owes at its own mark it owes to everybody; background too, which is 0 at any other.
                row[f"{point}_root_id"] = None
        return {column: row[column] for column in COLUMNS[name]}

    def owing(self, name: str, one: Lived) -> float:
        """How likely the roots of a row are owed: more so where a point of it lies in background, as few do."""
        bare = any(self._supervoxel(name, one.row[f"{point}_position"]) == 0 for point in POINTS[name])
        return 0.5 if bare else 0.04

    def _supervoxel(self, name: str, place: tuple[float, float, float]) -> int:
        if (name, place) not in self._places:
            voxel = (int(p * unit // of) for p, unit, of in zip(place, RESOLUTION[name], VOXEL, strict=True))
            self._places[name, place] = int(self.volume[tuple(voxel)])
        return self._places[name, place]


def day(number: float) -> datetime:
    return BIRTH + timedelta(days=number)


def make(engine: Engine, stack: str, world: Path, folder: Path, volume: np.ndarray, seed: int) -> Scene:
    """Edits, tables and rows; nothing is looked up yet."""
    dice = random.Random(seed)
    copied = copy_world(world, folder / stack, edits=False)
    oracle = Oracle(copied)
    moments_of = _edit(dice, copied, oracle)
    engine.load(copied, stack)
    scene = Scene(
        engine, stack, oracle, volume, _draw(dice, volume), _names(engine, stack, oracle, moments_of), moments_of
    )
    _create(scene)
    for name, lived in scene.lived.items():
        write(scene, name, lived)
    return scene


def _edit(dice: random.Random, world: Path, oracle: Oracle) -> list[datetime]:
    """As many merges as splits of what there is at the time, some of them milliseconds apart."""
    times = sorted(day(dice.uniform(0.01, DAYS)).replace(microsecond=dice.randrange(1000) * 1000) for _ in range(EDITS))
    times[10] = times[9] + MILLISECOND
    times.sort()
    log, ids = world / "graph/edits.jsonl", oracle.supervoxels
    with log.open("a") as lines:
        for number, at in enumerate(times, 1):
            owner = oracle.objects(at)
            line = {"operation_id": number, "timestamp": at.isoformat(timespec="milliseconds")}
            lines.write(json.dumps({**line, **_one_edit(dice, owner, ids)}) + "\n")
            lines.flush()
    return times


def _one_edit(dice: random.Random, owner: np.ndarray, ids: np.ndarray) -> dict[str, Any]:
    while True:
        first, second = dice.sample(range(len(owner)), 2)
        if owner[first] != owner[second]:
            if dice.random() < 0.5:
                return {"type": "merge", "supervoxels": ids[[first, second]].tolist()}
            continue
        whole = np.flatnonzero(owner == owner[first])
        leaving = [int(one) for one in whole if one != second and (one == first or dice.random() < 0.5)]
        return {"type": "split", "split_off": ids[leaving].tolist(), "from": int(ids[second])}


def _names(engine: Engine, stack: str, oracle: Oracle, times: list[datetime]) -> dict[int, int]:
    """What the graph calls each object of the replay."""
    url = f"{engine.neighbors.url}/segmentation/api/v1/table/{stack}_pcg/roots_binary"
    known: dict[int, int] = {}
    for at in (BIRTH, *times):
        asked = requests.post(
            url,
            params={"timestamp": f"{at.timestamp():.6f}"},
            data=oracle.supervoxels.astype("<u8").tobytes(),
            timeout=30,
        )
        for one, root in zip(oracle.objects(at).tolist(), np.frombuffer(asked.content, "<i8").tolist(), strict=True):
            assert known.setdefault(one, root) == root, f"object {one} is {known[one]} and {root}"
    assert len(set(known.values())) == len(known), "two objects of one name"
    return known


def _draw(dice: random.Random, volume: np.ndarray) -> dict[str, list[Lived]]:
    places = np.argwhere(volume != 0)
    nowhere = np.argwhere(volume == 0)

    def place(finer: int = 1) -> tuple[float, float, float]:
        of = nowhere if dice.random() < 0.05 else places
        x, y, z = of[dice.randrange(len(of))].tolist()
        return float(x * finer), float(y * finer), float(z)

    def contact(n: int) -> frozen.Row:
        size = dice.choice([None, float(dice.randrange(50))])
        return {"id": n, "pre_pt_position": place(), "post_pt_position": place(), "size": size}

    def cell(n: int) -> frozen.Row:
        volume = dice.choice([None, float(dice.randrange(20))])
        return {
            "id": n,
            "volume": volume,
            "pt_position": place(2),
            "bb_start_position": place(),
            "bb_end_position": None,
        }

    def kind(n: int) -> frozen.Row:
        texts = {"classification_system": dice.choice("xy"), "cell_type": dice.choice(TEXTS)}
        return {"id": n, "target_id": dice.randrange(1, 81), **texts}

    def note(n: int) -> frozen.Row:
        return {"id": n, "pt_position": place(), "tag": dice.choice([True, False]), "valid_id": dice.randrange(1, 90)}

    makers = {"contacts": (contact, 260), "cells": (cell, 80), "kinds": (kind, 120), "notes": (note, 40)}
    return {name: _lives(dice, name, maker, many) for name, (maker, many) in makers.items()}


def _lives(dice: random.Random, name: str, maker: Any, many: int) -> list[Lived]:
    """Some rows stay, some go, and some are replaced by another one at the same instant."""
    found: list[Lived] = []
    while len(found) < many:
        created = day(dice.choice([MADE[name], dice.uniform(MADE[name], DAYS)]))
        while len(found) < many:
            deleted = NEVER if dice.random() < 0.55 else created + (day(DAYS) - created) * dice.random()
            found.append(Lived(maker(len(found) + 1), created, deleted))
            if deleted is NEVER or dice.random() < 0.5:
                break
            created = deleted
    return found


def _create(scene: Scene) -> None:
    with annotations.writing(scene.engine.services.cluster, _ensured(scene)) as connection:
        for name, kind in SCHEMAS.items():
            target = "cells" if name == "kinds" else None
            new = annotation_catalog.NewTable(name, schema(kind), name, "1", RESOLUTION[name], target)
            annotation_catalog.create(connection, new)
            made = moments.naive(day(MADE[name]))
            connection.execute("UPDATE annotation_table_metadata SET created = $1 WHERE table_name = $2", made, name)


def _ensured(scene: Scene) -> str:
    ensure(scene.engine.services.cluster, scene.database)
    return scene.database


def write(scene: Scene, name: str, lived: list[Lived]) -> None:
    """Put rows into their annotation table by plain SQL, and say that it was written to."""
    positions = [column for column in COLUMNS[name] if column.endswith("_position")]
    plain = [c for c in COLUMNS[name] if c not in positions and not c.endswith(("_root_id", "_supervoxel_id", "valid"))]
    columns = ["created", "deleted", "valid", *plain, *positions]
    values = ["%s"] * (3 + len(plain)) + ["%s::geometry"] * len(positions)
    with closing(scene.engine.services.cluster.raw(scene.database)) as connection, connection, connection.cursor() as c:
        for one in lived:
            gone = None if one.deleted is NEVER else moments.naive(one.deleted)
            points = [_point(one.row[column]) for column in positions]
            row = [moments.naive(one.created), gone, gone is None, *(one.row[p] for p in plain), *points]
            c.execute(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({', '.join(values)})", row)
        c.execute("UPDATE annotation_table_metadata SET last_modified = now() WHERE table_name = %s", (name,))


def _point(place: tuple[float, float, float] | None) -> str | None:
    return None if place is None else "POINT Z ({} {} {})".format(*place)


def add_waiting(scene: Scene, name: str, since: datetime, many: int = 6) -> None:
    """Rows of late moments that no ingest has seen."""
    first = max(one.row["id"] for one in scene.lived[name]) + 1
    known = [one for one in scene.lived[name] if not one.waits][:many]
    rows = [Lived({**one.row, "id": first + n}, since, NEVER, waits=True) for n, one in enumerate(known)]
    write(scene, name, rows)
    scene.lived[name] += rows


def looked_up(scene: Scene) -> None:
    """After an ingest: nothing waits."""
    scene.lived = {name: [replace(one, waits=False) for one in lived] for name, lived in scene.lived.items()}


def forget_roots(scene: Scene, dice: random.Random) -> None:
    """Take roots away, as a graph that was down or a look-up of supervoxels leaves them: they are owed."""
    with closing(scene.engine.services.cluster.raw(scene.database)) as connection, connection, connection.cursor() as c:
        for name, points in POINTS.items():
            if not points:
                continue
            ids = [
                one.row["id"] for one in scene.lived[name] if not one.waits and dice.random() < scene.owing(name, one)
            ]
            beside = f"{name}__{scene.stack}_pcg"
            roots = ", ".join(f"{p}_root_id = NULL" for p in points)
            c.execute(f"UPDATE {beside} SET {roots} WHERE id = ANY (%s)", (ids,))
            scene.owed |= {(name, each) for each in ids}
