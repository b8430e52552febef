"""Annotations of frozen tables as Neuroglancer reads them: `info`, spatial levels, by id, by segment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from flask import Response, jsonify

from .. import __version__
from ..domain.datastack import Datastack, Resolution
from ..domain.errors import BadRequest, Unknown, UnknownAnnotation, UnknownVersion
from ..domain.precomputed import Level, Triple, has_position, touches
from ..domain.query import Join, Question
from ..domain.query_plan import QueryPlan, resolve
from ..domain.schemas import Role, schema
from ..storage import precomputed as storage
from ..storage import version_registry as registry
from ..storage.models import AnnotationTable
from ..storage.precomputed_layout import Layout, lay_out
from ..storage.read_pool import Reading
from .answers import Body, Flow, tag
from .arguments import MATERIALIZE, Blueprint, generations
from .auth import check_read, needs, user
from .encoders import precomputed as encoder
from .extensions import live_session
from .parts import parts
from .queries import source_of, tagged

blueprint = Blueprint(
    "precomputed", __name__, url_prefix=MATERIALIZE, description="Annotations and segment properties for Neuroglancer"
)

_STACK = "/datastack/<datastack>"
_VERSION = f"{_STACK}/version/<int(signed=True):version>"
_TABLE = "/table/<table>/precomputed"
_CELL = re.compile(r"(\d{1,9})_(\d{1,9})_(\d{1,9})")
_BIGGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Drawing:
    """A table of a version, or a reference table with the one it refers to, as annotations."""

    version: registry.Version
    tables: tuple[registry.VersionTable, ...]
    plan: QueryPlan

    @property
    def mark(self) -> tuple[str, ...]:
        """What tells its rows apart from any others: a mended table has another digest."""
        return (self.version.database, *(f"{table.name} {table.digest}" for table in self.tables))


@generations(blueprint, f"{_STACK}{_TABLE}/info", 3)
@generations(blueprint, f"{_VERSION}{_TABLE}/info", 3)
@needs("view")
def get_info(datastack: str, table: str, version: int | None = None) -> Response:
    """What the annotations of a table are: dimensions, properties, relationships, spatial levels."""
    drawn = drawing(datastack, version, table)
    layout = layout_of(drawn)
    return kept(jsonify(encoder.info(layout.collection, layout.extent, list(layout.levels))), drawn, version)


@generations(blueprint, f"{_STACK}{_TABLE}/by_id/<int:annotation>", 3)
@generations(blueprint, f"{_VERSION}{_TABLE}/by_id/<int:annotation>", 3)
@needs("view")
def get_annotation(datastack: str, table: str, annotation: int, version: int | None = None) -> Response:
    """One annotation and the segments it belongs to, in binary."""
    drawn = drawing(datastack, version, table)
    found = layout_of(drawn).collection
    known = storage.by_value(found, found.id, min(annotation, _BIGGEST))
    with _reading(drawn) as reading:
        rows = reading.table(storage.rows(known, drawn.version.time_stamp))
    if annotation > _BIGGEST or not rows.num_rows:
        raise UnknownAnnotation(f"{table} has no annotation {annotation} with a position", field="annotation")
    body = encoder.one(found, rows.combine_chunks().to_batches()[0])
    return kept(Response(body, content_type=encoder.CONTENT_TYPE), drawn, version)


@generations(blueprint, f"{_STACK}{_TABLE}/<key>/<name>", 3)
@generations(blueprint, f"{_VERSION}{_TABLE}/<key>/<name>", 3)
@needs("view")
def get_annotations(datastack: str, table: str, key: str, name: str, version: int | None = None) -> Response:
    """Annotations of one cell of a spatial level, or of one segment, in binary; `key` is one that `info` names."""
    drawn = drawing(datastack, version, table)
    layout = layout_of(drawn)
    level = next((level for level in layout.levels if level.key == key), None)
    body = _segment(drawn, layout, key, name) if level is None else _cell(drawn, layout, level, name)
    return kept(Response(body, content_type=encoder.CONTENT_TYPE), drawn, version)


def drawing(datastack: str, number: int | None, table: str, resolution: Resolution | None = None) -> Drawing:
    """A table in a version, else in the newest one. Raises UnknownVersion, UnknownTable, TableDenied.

    Positions come in the resolution given, else in that of the table which has them.
    """
    stack = parts().datastack(datastack)
    version = _version(stack, number)
    tables = _tables(stack, version, table)
    for each in tables:
        check_read(each.annotation)
    question = Question((table,))
    if len(tables) == 2:
        question = joined(tables[0].annotation, tables[1].name)
    question = replace(question, resolution=resolution or tables[-1].resolution)
    plan = resolve(question, [source_of(stack, version, each) for each in tables])
    return Drawing(version, tables, plan)


def _version(stack: Datastack, number: int | None) -> registry.Version:
    """The version named, else the newest."""
    session = live_session(stack.aligned_volume)
    if number is not None:
        return registry.readable_version(session, stack.name, number)
    known = registry.versions(session, stack.name)
    if not known:
        raise UnknownVersion(f"datastack {stack.name!r} has no version yet", field="datastack")
    return known[-1]


def _tables(stack: Datastack, version: registry.Version, name: str) -> tuple[registry.VersionTable, ...]:
    """The table, and where it has no position of its own the one that it refers to."""
    session = live_session(stack.aligned_volume)
    (found,) = registry.named_tables(session, stack, version, (name,))
    target = refers(found.annotation)
    if target is None:
        return (found,)
    return (found, *registry.named_tables(session, stack, version, (target,)))


def refers(table: AnnotationTable) -> str | None:
    """The table whose positions a table needs, which has none itself."""
    drawable = has_position(schema(table.schema_type).flat_columns())
    return None if drawable else table.reference_table


def joined(table: AnnotationTable, target: str) -> Question:
    """A reference table beside the one that it refers to."""
    columns = schema(table.schema_type).flat_columns()
    column = next(column.name for column in columns if column.role is Role.TARGET)
    name = table.table_name
    return Question((name, target), joins=(Join(name, column, target, "id"),), suffixes={name: "", target: "_ref"})


def layout_of(drawn: Drawing) -> Layout:
    """Found once for each table of a version; it is the same in every process."""
    known = parts().layouts.get(drawn.mark)
    if known is None:
        with _reading(drawn) as reading:
            target = parts().settings.precomputed_limit
            known = lay_out(reading, drawn.plan, drawn.version.time_stamp, target)
        parts().layouts.put(drawn.mark, known)
    return known


@contextmanager
def _reading(drawn: Drawing) -> Iterator[Reading]:
    """A transaction on a version's database, counted among the caller's queries."""
    with closing(parts().slots.take(user().id)), parts().pool.reading(drawn.version.database) as reading:
        yield reading


def _cell(drawn: Drawing, layout: Layout, level: Level, name: str) -> bytes:
    """One cell, which the level's limit bounds."""
    cell = _numbers(name)
    if any(at >= most for at, most in zip(cell, level.grid, strict=True)):
        raise BadRequest(f"{name}: level {level.key} has {level.grid} cells", field="name")
    found = layout.collection
    with _reading(drawn) as reading:
        rows = reading.table(storage.chunk(found, drawn.version.time_stamp, layout.extent, level, cell))
    if len(found.ends) == 2:
        rows = rows.filter(_crossing(layout, level, cell, rows))
    return b"".join(encoder.many(found, rows.num_rows, rows.to_batches()))


def _crossing(layout: Layout, level: Level, cell: Triple, rows: pa.Table) -> pa.Array:
    """Which lines do meet the cell: their bounding box may where they do not."""
    one, other = (
        np.stack([rows[f"{end}_{axis}"].to_numpy().astype(float) for axis in "xyz"], axis=1)
        for end in layout.collection.ends
    )
    low = np.array(layout.extent.lower) + np.array(cell) * np.array(level.size)
    return pa.array(touches(one, other, low, low + np.array(level.size)))


def _numbers(name: str) -> Triple:
    found = _CELL.fullmatch(name)
    if found is None:
        raise BadRequest(f"{name!r}: a cell is named by three numbers, as 0_0_0", field="name")
    return int(found[1]), int(found[2]), int(found[3])


def _segment(drawn: Drawing, layout: Layout, key: str, name: str) -> Body:
    """The annotations of one segment, however many: they stream."""
    found = layout.collection
    column = next((each for each in found.relationships if each.name == key), None)
    if column is None:
        there = ", ".join(["by_id", *(level.key for level in layout.levels), *(r.name for r in found.relationships)])
        raise Unknown(f"{key!r} is none of {there}", field="key")
    if not name.isascii() or not name.isdecimal() or int(name) >= 1 << 64:
        raise BadRequest(f"{name!r} is no id of a segment", field="name")
    segment = int(name)
    # Background is no segment, and none has an id that does not fit the tables.
    known = storage.by_value(found, column, segment if 0 < segment <= _BIGGEST else -1)
    moment = drawn.version.time_stamp
    with ExitStack() as stack:
        reading = stack.enter_context(_reading(drawn))
        number = int(str(reading.value(storage.number(known, moment))))
        flow = Flow(reading.batches(storage.rows(known, moment))).holding(stack.pop_all())
    return Body(encoder.many(found, number, flow), flow)


def kept(response: Response, drawn: Drawing, version: int | None, options: object = None) -> Response:
    """A version never changes; which one is the newest does."""
    if version is not None:
        return tagged(response, tag(drawn.mark, options, parts().settings.precomputed_limit, __version__))
    response.headers["Cache-Control"] = "private, max-age=60"
    return response
