"""Columns, mesh, moments, records, tiles, sky and simulation, without a database."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from l1_reference import START, a_source, an_object
from lsst.sphgeom import Angle, Circle, ConvexPolygon, HtmPixelization, UnitVector3d

from l1dbproto import htm, moments, records, tables
from l1dbproto.checks import check_versions, conform
from l1dbproto.config import L1dbConfig
from l1dbproto.DIA import DIA
from l1dbproto.errors import BadRecords, BadSources
from l1dbproto.generators import frame, rand_cone_xyz, rand_sphere_xyz
from l1dbproto.l1db import DiaObject, DiaObject_short, DiaSource, DiaSource_full
from l1dbproto.schema import build
from l1dbproto.sky import Sky, write_sky
from l1dbproto.survey import SurveyPlan
from l1dbproto.tiles import FieldOfView

FOV = math.radians(3.5)


def test_tables_have_the_columns_of_the_baseline() -> None:
    sizes = {t.name: len(t.columns) for t in (tables.DIA_OBJECT, tables.DIA_SOURCE, tables.SS_OBJECT)}
    assert sizes == {"DiaObject": 93, "DiaSource": 108, "SSObject": 81}
    needed = {c.name for c in tables.DIA_OBJECT.columns if not c.nullable}
    assert set(DiaObject._fields) == needed | {"validityEnd"}
    assert len(DiaObject._fields) == 24
    assert DiaSource_full._fields == tables.DIA_SOURCE.names
    assert set(DiaSource._fields) - {"diaObjectId"} == {c.name for c in tables.DIA_SOURCE.columns if not c.nullable}
    assert tables.DIA_OBJECT.names[22:31] == (
        *("uPSFluxMean", "uPSFluxMeanErr", "uPSFluxSigma", "uPSFluxChi2", "uPSFluxNdata"),
        *("uFPFluxMean", "uFPFluxMeanErr", "uFPFluxSigma", "gPSFluxMean"),
    )


def test_last_table_is_narrow_unless_full_objects_are_read() -> None:
    assert set(tables.last_table(False).names) == {*DiaObject_short._fields, "validityStart"}
    assert set(tables.last_table(True).names) == set(DiaObject._fields) - {"validityEnd"}


# The mesh.


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 3, 7, 20]))
@settings(max_examples=25, deadline=None)
def test_pixels_equal_those_of_sphgeom(seed: int, level: int) -> None:
    points = rand_sphere_xyz(40, 0, seed)
    mesh = HtmPixelization(level)
    assert htm.pixels(points, level).tolist() == [mesh.index(UnitVector3d(*map(float, p))) for p in points]


def test_pixels_of_points_on_trixel_borders() -> None:
    grid = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) != (0, 0, 0)]
    points = np.array(grid, dtype=float)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    mesh = HtmPixelization(20)
    assert htm.pixels(points).tolist() == [mesh.index(UnitVector3d(*map(float, p))) for p in points]


@given(st.integers(0, 2**32 - 1), st.floats(0.001, 20), st.sampled_from([1, 4, 64, 256]))
@example(seed=1875738, degrees=8.0, ranges=1)
@settings(max_examples=40, deadline=None)
def test_cover_holds_every_point_of_the_region(seed: int, degrees: float, ranges: int) -> None:
    direction = rand_sphere_xyz(1, 0, seed)[0]
    region = Circle(UnitVector3d(*map(float, direction)), Angle.fromDegrees(degrees))
    points = rand_cone_xyz(direction, 2 * math.radians(degrees) * (1 - 1e-9), 200, seed)
    assert region.contains(*np.ascontiguousarray(points.T)).all()
    spans = htm.cover(region, ranges)
    found = htm.pixels(points)
    assert all(any(r.first <= pixel <= r.last for r in spans) for pixel in found.tolist())
    assert all(r.first <= r.last for r in spans)


def test_cover_of_a_polygon_holds_its_points() -> None:
    corners = [(1.0, 0.01, 0.01), (1.0, 0.03, 0.01), (1.0, 0.03, 0.03), (1.0, 0.01, 0.03)]
    region = ConvexPolygon([UnitVector3d(*c) for c in corners])
    points = rand_cone_xyz(np.mean(corners, axis=0), 0.05, 2000, 3)
    inside = region.contains(*np.ascontiguousarray(points.T))
    spans = htm.cover(region)
    held = [any(r.first <= p <= r.last for r in spans) for p in htm.pixels(points).tolist()]
    assert 100 < inside.sum() < 1900
    assert np.all(np.array(held)[inside])
    assert not np.all(held), "a cover that holds everything proves nothing"


def test_positions_and_vectors_are_inverse() -> None:
    points = rand_sphere_xyz(1000, 0, 5)
    ra, decl = htm.positions(points)
    assert np.abs(htm.unit_vectors(ra, decl) - points).max() < 3e-15
    assert (ra >= 0).all() and (ra < 360).all()


# Moments.


@pytest.mark.parametrize(
    ("moment", "mjd"),
    [
        (datetime(2000, 1, 1, 12), 51544.5 + 32 / 86400),
        (datetime(2016, 12, 31, 23, 59, 59), 57753 + (86399 + 36) / 86400),
        (datetime(2017, 1, 1), 57754 + 37 / 86400),
        (datetime(2017, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), 57754 + 37 / 86400),
    ],
)
def test_mjd_tai(moment: datetime, mjd: float) -> None:
    assert moments.mjd_tai(moment) == pytest.approx(mjd, abs=1e-10)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)))
def test_a_month_holds_its_moments(moment: datetime) -> None:
    first = moments.month_of(moments.mjd(moment))
    assert moments.mjd(first) <= moments.mjd(moment) < moments.mjd(moments.next_month(first))
    assert first.day == 1


# Records and columns.


def test_records_survive_columns() -> None:
    made = [an_object((1 << 62) + i, START, 10.0 + i, -20.0) for i in range(3)]
    columns = records.to_columns(made, DiaObject, tables.DIA_OBJECT)
    assert columns.schema == tables.DIA_OBJECT.arrow(DiaObject._fields)
    assert records.to_records(columns, DiaObject) == made
    assert records.to_records(columns.slice(0, 0), DiaObject) == []
    assert records.to_columns([], DiaObject, tables.DIA_OBJECT).num_rows == 0


def test_aware_times_become_naive_utc() -> None:
    local = START.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=-3)))
    (record,) = records.to_records(
        records.to_columns([an_object(1, local, 1.0, 1.0)], DiaObject, tables.DIA_OBJECT), DiaObject
    )
    assert record.validityStart == START


def test_mixed_nulls_survive_columns() -> None:
    made = [a_source(i, None if i % 2 else i, 1, 60000.0, 1.0, 1.0) for i in range(4)]
    assert records.to_records(records.to_columns(made, DiaSource, tables.DIA_SOURCE), DiaSource) == made


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"diaObjectId": 1 << 63}, "diaObjectId"),
        ({"ra": "east"}, "ra"),
        ({"validityStart": "today"}, "validityStart"),
    ],
)
def test_bad_values_name_their_column(change: dict[str, object], word: str) -> None:
    with pytest.raises(BadRecords, match=rf"DiaObject\.{word}"):
        records.to_columns([an_object(1, START, 1.0, 1.0)._replace(**change)], DiaObject, tables.DIA_OBJECT)


def test_records_of_another_class_are_refused() -> None:
    with pytest.raises(BadRecords, match="DiaObject records of 24 fields"):
        records.to_columns([a_source(1, 1, 1, 60000.0, 1.0, 1.0)], DiaObject, tables.DIA_OBJECT)


def _objects(*ids: int) -> pa.Table:
    return records.to_columns([an_object(i, START, 1.0, 1.0) for i in ids], DiaObject, tables.DIA_OBJECT)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (_objects(1).drop_columns(["ra"]), "needs ra"),
        (_objects(1).append_column("colour", pa.array([1])), "no column colour"),
        (_objects(1).set_column(4, "ra", pa.array([None], pa.float64())), r"ra cannot be null"),
        (_objects(1).set_column(0, "diaObjectId", pa.array([1.5])), "diaObjectId takes int64"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns: pa.Table, words: str) -> None:
    with pytest.raises(BadRecords, match=words):
        conform(columns, tables.DIA_OBJECT)


def test_versions_must_be_one_per_object_open_and_of_the_visit() -> None:
    check_versions(_objects(1, 2), START)
    with pytest.raises(BadRecords, match="object 7 comes more than once"):
        check_versions(_objects(7, 1, 7), START)
    with pytest.raises(BadRecords, match="validityStart"):
        check_versions(_objects(1), START + timedelta(seconds=1))
    ended = records.to_columns([an_object(1, START, 1.0, 1.0, validityEnd=START)], DiaObject, tables.DIA_OBJECT)
    with pytest.raises(BadRecords, match="validityEnd"):
        check_versions(ended, START)


def test_schema_follows_the_options() -> None:
    from sqlalchemy.engine import make_url

    from l1dbproto.config import ObjectIndex, Partition, SourceSelect

    url = make_url("postgresql+psycopg2://localhost/x")
    historic = build(L1dbConfig(url, ObjectIndex.HTM20_ID_IOV))
    assert [c.name for c in historic.tables["DiaObject"].primary_key] == [
        "htmId20",
        "diaObjectId",
        "validityStart",
    ]
    assert "DiaObjectLast" not in historic.tables
    monthly = L1dbConfig(
        url, ObjectIndex.LAST_OBJECT_TABLE, True, source_select=SourceSelect.BY_OID, partition=Partition.MONTH
    )
    made = build(monthly).tables
    assert [c.name for c in made["DiaSource"].primary_key] == ["diaSourceId", "midPointTai"]
    assert [c.name for c in made["DiaObjectLast"].primary_key] == ["diaObjectId"]
    assert not made["DiaObjectNightly"].primary_key.columns and not made["DiaObjectNightly"].indexes


# The sky and the simulation.


def test_frames_are_right_handed_and_orthogonal() -> None:
    for direction in [*rand_sphere_xyz(50, 0, 1), *np.eye(3), *-np.eye(3)]:
        axes = frame(direction)
        assert np.abs(axes @ axes.T - np.eye(3)).max() < 1e-15
        assert np.linalg.det(axes) == pytest.approx(1)
        assert np.allclose(axes[2], direction)


def test_points_fill_sphere_hemisphere_and_cone() -> None:
    assert (rand_sphere_xyz(500, -1, 1)[:, 2] <= 0).all() and (rand_sphere_xyz(500, 1, 1)[:, 2] >= 0).all()
    assert np.array_equal(rand_sphere_xyz(5, 0, 9), rand_sphere_xyz(5, 0, 9))
    direction = rand_sphere_xyz(1, 0, 2)[0]
    cone = rand_cone_xyz(direction, FOV, 4000, 3) @ direction
    assert cone.min() >= math.cos(FOV / 2) - 1e-15
    # Uniform in area: half of the points lie in half of the cap's height.
    assert np.mean(cone < (1 + math.cos(FOV / 2)) / 2) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("is_sorted", [True, False])
def test_sky_finds_what_a_scan_finds(tmp_path: Path, is_sorted: bool) -> None:
    points, path = rand_sphere_xyz(60_000, 0, 4), tmp_path / "sky.npy"
    if is_sorted:
        write_sky(path, points)
    else:
        np.save(path, points)
    stored = np.load(path)
    assert np.array_equal(np.sort(stored, axis=0), np.sort(points, axis=0))
    for direction in rand_sphere_xyz(20, 0, 5):
        xyz, ids = Sky.open(path).inside(direction, FOV)
        expected = np.nonzero(stored @ direction > math.cos(FOV / 2))[0]
        assert np.array_equal(ids, expected) and np.array_equal(xyz, stored[expected])


def test_sky_notices_a_changed_file(tmp_path: Path) -> None:
    import os

    path = tmp_path / "sky.npy"
    write_sky(path, rand_sphere_xyz(1000, 0, 4))
    np.save(path, rand_sphere_xyz(2000, 0, 5))
    later = path.stat().st_mtime + 5
    os.utime(path, (later, later))
    xyz, _ = Sky.open(path).inside(np.array([0.0, 0.0, 1.0]), math.pi)
    assert len(xyz) == np.count_nonzero(np.load(path)[:, 2] > math.cos(math.pi / 2))


@pytest.mark.parametrize("content", [b"", b"not numpy", None])
def test_bad_sky_files_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "sky.npy"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadSources, match=r"sky\.npy"):
        Sky.open(path)
    np.save(path, np.zeros((4, 2)))
    with pytest.raises(BadSources, match="unit vectors"):
        Sky.open(path)


def test_dia_sees_variables_and_noise() -> None:
    sky, direction = rand_sphere_xyz(200_000, 0, 6), np.array([0.0, 0.0, -1.0])
    xyz, ids = DIA(direction, FOV, sky, 40, seed=1).makeSources()
    variables = np.nonzero(sky @ direction > math.cos(FOV / 2))[0]
    assert np.array_equal(ids[ids >= 0], variables) and np.array_equal(xyz[ids >= 0], sky[variables])
    assert 20 < np.count_nonzero(ids < 0) < 60
    assert (xyz @ direction >= math.cos(FOV / 2) - 1e-15).all()
    again, _ = DIA(direction, FOV, sky, 40, seed=1).makeSources()
    assert np.array_equal(again, xyz)
    half = DIA(direction, FOV, sky, 0, seed=1, detection_fraction=0.5).makeSources()[1]
    assert 0.3 < len(half) / len(variables) < 0.7


@pytest.mark.parametrize(("divide", "count"), [(1, 1), (2, 4), (8, 60), (15, 201)])
def test_tiles_cover_the_field_once(divide: int, count: int) -> None:
    x, y, z = rand_sphere_xyz(1, -1, divide)[0].tolist()
    field = FieldOfView((x, y, z), FOV, divide)
    tiles = {tile.number: tile for tile in field.tiles()}
    assert len(tiles) == count
    points = rand_cone_xyz((x, y, z), FOV, 3000, 1)
    numbers = field.numbers(points)
    for number in np.unique(numbers).tolist():
        assert tiles[number].region.contains(*np.ascontiguousarray(points[numbers == number].T)).all()


def test_nights_skip_the_day() -> None:
    plan = SurveyPlan(timedelta(seconds=45), seed=1, n_trans=0)
    assert plan.next_time(datetime(2026, 1, 2, 5, 59, 59)) == datetime(2026, 1, 2, 5, 59, 59)
    assert plan.next_time(datetime(2026, 1, 2, 6, 0, 10)) == datetime(2026, 1, 2, 20, 0, 10) + timedelta(seconds=0)
    assert plan.next_time(datetime(2026, 1, 2, 19, 59, 59)) == datetime(2026, 1, 2, 20, 0, 44)
    moment, visits = datetime(2026, 1, 1, 20), 0
    while moment < datetime(2026, 1, 2, 20):
        moment, visits = plan.next_time(moment + plan.interval), visits + 1
    assert visits == 800


def test_pointings_depend_on_seed_and_visit_alone() -> None:
    plan = SurveyPlan(timedelta(seconds=45), seed=1, n_trans=0)
    assert plan.pointing(7) == plan.pointing(7) != plan.pointing(8)
    assert all(plan.pointing(visit)[2] <= 0 for visit in range(50))
