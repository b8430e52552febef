"""The programs, run as a user runs them: whole surveys, tiles, kills and resumption, logs, plots."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from l1_reference import BACKENDS, START, circle

import l1dbproto
from l1dbproto import tables
from l1dbproto.apps import ap_plot, ap_proto, create_l1_schema, gen_sources, log2csv, parse_cat
from l1dbproto.config import read_config
from l1dbproto.l1db import L1db
from l1dbproto.records import Visit
from l1dbproto.sky import Sky
from l1dbproto.survey import Footprint, SurveyPlan
from l1dbproto.tiles import FieldOfView
from l1dbproto.visit import after, detect, process

LAST = {"dia_object_index": "last_object_table", "object_last_replace": 1, "source_select": "by-oid"}
READING = {"read_sources_months": 12, "read_forced_sources_months": 12}
RUN = ["--start-time", "2026-01-01 20:00:00", "--transients", "20", "--footprint", "30,-20,1"]
SAMPLE = Path(l1dbproto.__file__).parent / "sql" / "baselineSchema.sql"


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sky") / "variables.npy"
    ran(gen_sources, "-H", -1, "-n", 40, path)
    return path


def ran(program: Any, *words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(program.main, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def contents(config: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, in an order of their own."""
    engine = sa.create_engine(read_config(config).url)
    found = {}
    try:
        with engine.connect() as connection:
            for name in sa.inspect(connection).get_table_names():
                table = sa.Table(name, sa.MetaData(), autoload_with=connection)
                found[name] = sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
    finally:
        engine.dispose()
    return found


def made(config: Path) -> Path:
    ran(create_l1_schema, "-c", config)
    return config


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def undisturbed(config_file: Callable[..., Path], sky: Path, backend: str) -> dict[str, list[tuple[Any, ...]]]:
    """Six visits in one go, in a database of their own."""
    config = made(config_file(backend, name="undisturbed.cfg", **LAST, **READING))
    ran(ap_proto, "-c", config, "-n", 6, *RUN, sky)
    return contents(config)


def command(config: Path, visits: int, sky: Path, *words: object) -> list[str]:
    start = [sys.executable, "-m", "l1dbproto.apps.ap_proto", "-c", str(config), "-n", str(visits), *RUN]
    return [*start, *map(str, words), str(sky)]


def test_two_runs_store_what_one_does(
    config_file: Callable[..., Path], sky: Path, undisturbed: dict[str, Any], backend: str
) -> None:
    config = made(config_file(backend, **LAST, **READING))
    ran(ap_proto, "-c", config, "-n", 4, *RUN, sky)
    ran(ap_proto, "-c", config, "-n", 2, *RUN, sky)
    assert contents(config) == undisturbed
    assert len(undisturbed["DiaSource"]) > 300
    # As in the seed: a forced source for every new version, and new versions of what was seen but not detected.
    assert len(undisturbed["DiaForcedSource"]) == len(undisturbed["DiaObject"]) > len(undisturbed["DiaSource"])


def test_backends_read_the_same(config_file: Callable[..., Path], sky: Path) -> None:
    answers = []
    region = circle(30, -20, 4)
    for name in BACKENDS:
        config = made(config_file(name, name=f"{name}.cfg", **LAST, **READING))
        ran(ap_proto, "-c", config, "-n", 3, *RUN, sky)
        db = L1db(config)
        objects = sorted(db.getDiaObjects(region))
        sources = sorted(db.getDiaSources(region, objects), key=lambda s: s.diaSourceId)
        answers.append((objects, sources, sorted(db.getDiaFSources(objects), key=lambda f: f[:2]), db.lastVisit()))
        db.close()
    assert len(answers[0][1]) > 100
    assert answers[1:] == answers[:1] * 2


def test_tiles_store_what_the_whole_does(
    config_file: Callable[..., Path], sky: Path, undisturbed: dict[str, Any], backend: str
) -> None:
    config = made(config_file(backend, **LAST, **READING))
    ran(ap_proto, "-c", config, "-n", 6, *RUN, "--divide", 3, "--workers", 2, sky)
    assert contents(config) == undisturbed


def test_an_unfinished_visit_is_finished(
    config_file: Callable[..., Path], sky: Path, undisturbed: dict[str, Any], backend: str
) -> None:
    config = made(config_file(backend, **LAST, **READING))
    ran(ap_proto, "-c", config, "-n", 3, *RUN, "--divide", 2, "--workers", 1, sky)
    db = L1db(config)
    last = db.lastVisit()
    assert last is not None
    survey = SurveyPlan(timedelta(seconds=45), 1, 20, 2, footprint=Footprint(30, -20, 1))
    plan = survey.visit(4, last.visitTime + survey.interval, last.lastObjectId or 0, last.lastSourceId or 0)
    detections = detect(plan, Sky.open(sky))
    place = plan.field.numbers(detections.xyz)
    for tile in plan.field.tiles()[1:3]:
        process(db, plan, detections.part(place == tile.number), tile, after(plan, detections))
    assert len(db.tilesStored(4)) == 2 and contents(config)["DiaSource"] != undisturbed["DiaSource"]
    db.close()
    ran(ap_proto, "-c", config, "-n", 3, *RUN, "--divide", 2, "--workers", 1, sky)
    assert contents(config) == undisturbed


@pytest.mark.parametrize("divide", [2, pytest.param(0, marks=pytest.mark.faults)])
def test_killed_runs_end_like_an_undisturbed_one(
    config_file: Callable[..., Path], sky: Path, undisturbed: dict[str, Any], backend: str, divide: int
) -> None:
    config = made(config_file(backend, **LAST, **READING))
    rng, kills, done = random.Random(divide), 0, 0
    while done < 6:
        process_ = subprocess.Popen(command(config, 6 - done, sky, "--divide", divide, "--workers", 2))
        _wait_for_rows(config, done, process_)
        if kills < 2:
            time.sleep(rng.uniform(0, 0.05))
            os.kill(process_.pid, signal.SIGKILL)
            kills += 1
        process_.wait(60)
        with_visits = L1db(config)
        last = with_visits.lastVisit()
        done = 0 if last is None else last.visitId
        with_visits.close()
    assert kills
    assert contents(config) == undisturbed


def _wait_for_rows(config: Path, done: int, running: subprocess.Popen[bytes]) -> None:
    """Until the run has stored more than there was, so that it is in the middle of its work."""
    db, deadline = L1db(config), time.monotonic() + 60
    before = db.tableRowCount()["DiaSource"]
    while running.poll() is None and db.tableRowCount()["DiaSource"] == before:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    db.close()


def test_workers_die_with_a_killed_parent(config_file: Callable[..., Path], sky: Path) -> None:
    config = made(config_file(**LAST, **READING))
    running = subprocess.Popen(command(config, 1000, sky, "--divide", 2, "--workers", 2))
    _wait_for_rows(config, 0, running)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    assert len(children) >= 2
    os.kill(running.pid, signal.SIGKILL)
    running.wait(10)
    deadline = time.monotonic() + 10
    while any(_alive(child) for child in children):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)


def _alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_reading_alone_changes_nothing(config_file: Callable[..., Path], sky: Path) -> None:
    config = made(config_file(**LAST, **READING))
    ran(ap_proto, "-c", config, "-n", 2, *RUN, sky)
    before = contents(config)
    ran(ap_proto, "-c", config, "-n", 2, "-U", *RUN, sky)
    ran(ap_proto, "-c", config, "-n", 1, "-U", "--divide", 2, "--workers", 1, *RUN, sky)
    assert contents(config) == before


def test_the_nightly_table_is_merged_every_thousandth_visit(config_file: Callable[..., Path], sky: Path) -> None:
    plain, nightly = (made(config_file(name=f"{n}.cfg", **LAST, **READING, dia_object_nightly=n)) for n in (0, 1))
    for config in (plain, nightly):
        ran(ap_proto, "-c", config, "-n", 5, "--start-visit-id", 996, *RUN, sky)
    counts = L1db(nightly).tableRowCount()
    assert 0 < counts["DiaObjectNightly"] < counts["DiaObject"]
    L1db(nightly).dailyJob()
    assert contents(nightly)["DiaObject"] == contents(plain)["DiaObject"]
    assert L1db(nightly).tableRowCount()["DiaObjectNightly"] == 0


def test_objects_unseen_for_a_month_get_no_new_version(config_file: Callable[..., Path], sky: Path) -> None:
    config = made(config_file(**LAST, **READING))
    db, variables = L1db(config), Sky.open(sky)
    direction = SurveyPlan(timedelta(seconds=45), 1, 20, footprint=Footprint(30, -20, 0)).pointing(1)
    field = FieldOfView(direction, math.radians(3.5))
    ids = (1_000_000_000, 0)
    stored = []
    for number, days in enumerate((0, 29, 31), 1):
        survey = SurveyPlan(timedelta(days=1), 1, 20, footprint=Footprint(30, -20, 0))
        plan = survey.visit(number, START + timedelta(days=days), *ids)
        detections = detect(plan, variables)
        finished = after(plan, detections)
        process(db, plan, detections, field.tiles()[0], finished)
        ids = (finished.lastObjectId or 0, finished.lastSourceId or 0)
        stored.append((len(detections), detections.noise, db.timings.take().counts["stored_Objects"]))
    (_, noise1, objects1), (size2, noise2, objects2), (size3, _, objects3) = stored
    assert objects1 == stored[0][0]
    assert objects2 == size2 + noise1
    # After 31 days the noise of the first visit is too old, that of the second is not.
    assert objects3 == size3 + noise2


# What a run leaves: log, metrics, pictures.


@pytest.fixture
def logged(config_file: Callable[..., Path], sky: Path, tmp_path: Path) -> tuple[Path, Path]:
    config = made(config_file(**LAST, **READING, dia_object_nightly=1))
    log, metrics = tmp_path / "run.log", tmp_path / "run.jsonl"
    words = ["-v", "--start-visit-id", 998, "--metrics", metrics]
    with log.open("wb") as sink:
        subprocess.run(command(config, 4, sky, *words), stderr=sink, check=True)
    return log, metrics


def test_log_and_metrics_tell_the_same(logged: tuple[Path, Path]) -> None:
    log, metrics = logged
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    rows = list(csv.DictReader(io.StringIO(ran(log2csv, log).output)))
    assert tuple(rows[0]) == log2csv.FULL
    assert [row["visit"] for row in rows] == ["998", "999", "1000", "1001"]
    for row, line in zip(rows, lines, strict=True):
        assert float(row["store_real"]) == pytest.approx(line["timers"]["L1-store"]["real"], abs=0.001)
        assert float(row["visit_real"]) == pytest.approx(line["timers"]["Visit"]["real"], abs=0.002)
        for name in ("obj_selected", "obj_in_fov", "src_selected", "fsrc_selected"):
            assert int(row[name]) == line["counts"][name]
    selects = [float(rows[1][f"{name}_select_real"]) for name in ("obj", "src", "fsrc")]
    assert float(rows[1]["select_real"]) == pytest.approx(sum(selects), abs=1e-6)
    assert (rows[0]["obj_count"], rows[0]["obj_last_delete_real"]) == ("NULL", "NULL")
    assert int(rows[2]["src_count"]) > 0
    short = list(csv.DictReader(io.StringIO(ran(log2csv, "-s", log).output)))
    assert tuple(short[0]) == log2csv.SHORT and len(short) == 4
    daily = list(csv.DictReader(io.StringIO(ran(log2csv, "-d", log).output)))
    assert [tuple(row) for row in daily] == [log2csv.DAILY] and daily[0]["visit"] == "1000"


def test_a_log_of_tiles_gives_means_of_times_and_sums_of_rows() -> None:
    head = "2026-01-01 00:00:00,000 [INFO] "
    lines = [
        head + "ap_proto: \033[1;34m+++ Start processing visit 7 at 2026-01-01 20:00:00\033[0m",
        head + "timer: tile=0x0 DiaSource select: real=1.000 user=0.250 sys=0.250",
        head + "ap_proto: tile=0x0 database found 10 sources",
        head + "timer: tile=0x1 DiaSource select: real=3.000 user=0.750 sys=0.250",
        head + "ap_proto: tile=0x1 database found 30 sources",
        head + "ap_proto: \033[1;34m--- Finished processing visit 7, time: real=5.0 user=1.0 sys=0.5\033[0m",
        head + "ap_proto: +++ Start processing visit 8 at 2026-01-01 20:00:45",
    ]
    (row,) = log2csv.visits(lines)
    assert row == {
        "visit": 7,
        "src_select_real": 2.0,
        "src_select_cpu": 0.75,
        "select_real": 2.0,
        "src_selected": 40,
        "visit_real": 5.0,
        "visit_cpu": 1.5,
    }


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plots_are_pictures(logged: tuple[Path, Path], tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install '.[l1]')")
    picture = tmp_path / f"visits.{ending}"
    ran(ap_plot, "-o", picture, "-t", "four visits", logged[1])
    content = picture.read_bytes()
    if ending == "png":
        assert content.startswith(b"\x89PNG") and len(content) > 10_000
    else:
        assert b"<svg" in content and content.count(b"<path") > 20


def test_bad_metrics_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"visit": 1, "timers": {}}\n{"a": 1}\n')
    assert "line 2" in ran(ap_plot, bad, code=2).output
    assert ".png or .svg" in ran(ap_plot, "-o", "x.pdf", bad, code=2).output


# The small programs, and mistakes.


def test_gen_sources_counts_and_repeats(tmp_path: Path) -> None:
    assert (gen_sources.total(10_000, 0), gen_sources.total(10_000, -1)) == (42_877_470, 21_438_735)
    for hemi, seed in ((0, 1), (1, 1), (-1, 1), (-1, 1)):
        ran(gen_sources, "-m", "xyz", "-H", hemi, "-n", 5, "--seed", seed, tmp_path / f"{hemi}.npy")
        points = np.load(tmp_path / f"{hemi}.npy")
        assert points.shape == (gen_sources.total(5, hemi), 3)
        assert np.abs(np.linalg.norm(points, axis=1) - 1).max() < 1e-12
        assert hemi == 0 or (np.sign(points[:, 2]) == hemi).all()
    again = tmp_path / "again.npy"
    ran(gen_sources, "-H", -1, "-n", 5, again)
    assert again.read_bytes() == (tmp_path / "-1.npy").read_bytes()


def test_parse_cat_reads_its_sample_back_into_our_tables() -> None:
    parsed = {t.name: t for t in parse_cat.parse(SAMPLE.read_text().splitlines())}
    ours = (
        tables.DIA_OBJECT,
        tables.SS_OBJECT,
        tables.DIA_SOURCE,
        tables.DIA_FORCED_SOURCE,
        tables.DIA_OBJECT_MATCH,
    )
    for table in ours:
        expected = [(c.name, c.nullable) for c in table.columns if c.name not in ("lastNonForcedSource",)]
        if table is tables.DIA_FORCED_SOURCE:
            expected.remove(("midPointTai", False))
        if table is tables.DIA_OBJECT:
            expected[expected.index(("validityEnd", True))] = ("validityEnd", False)
        assert [(c.name, c.nullable) for c in parsed[table.name].columns] == expected
    text = ran(parse_cat, SAMPLE).output
    for name in parse_cat.KEPT:
        assert f"{name} = Table('{name}', metadata," in text and f"{name} non-nullable columns: [" in text
    assert "Column('diaObjectId', BigInteger, nullable=False)," in text
    assert "prv_Filter" not in text and "prv_Filter" in ran(parse_cat, "-a", SAMPLE).output


def test_parse_cat_output_is_python(tmp_path: Path) -> None:
    text = ran(parse_cat, SAMPLE).output
    code = "\n".join(line for line in text.splitlines() if " words: " not in line and "columns: [" not in line)
    names = ("Table", "Column", "BigInteger", "Integer", "Double", "REAL", "TIMESTAMP", "LargeBinary")
    space: dict[str, Any] = {name: getattr(sa, name) for name in names} | {"metadata": sa.MetaData()}
    exec(compile(code, "parse_cat", "exec"), space)
    assert len(space["DiaObject"].columns) == 92


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("CREATE TABLE DiaObject (\n  a GEOMETRY NOT NULL\n);\n", "line 2: column a"),
        ("nothing\n", "none of the tables"),
    ],
)
def test_parse_cat_names_what_it_cannot_read(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.sql"
    path.write_text(text)
    assert words in ran(parse_cat, path, code=2).output
    assert "none.sql" in ran(parse_cat, tmp_path / "none.sql", code=2).output


def test_create_l1_schema_says_what_it_does(config_file: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    config = config_file(**LAST)
    result = subprocess.run(
        [sys.executable, "-m", "l1dbproto.apps.create_l1_schema", "-v", "--drop", "-c", str(config)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "dropping all tables" in result.stderr and "creating all tables" in result.stderr
    assert "[INFO] l1db:" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--start-time"),
        (["--start-time", "yesterday"], "YYYY-MM-DD hh:mm:ss"),
        (["--start-time", "2026-01-01 20:00:00", "--footprint", "1,2"], "RA,DECL,RADIUS"),
        (["--start-time", "2026-01-01 20:00:00", "--footprint", "1,99,1"], "not on the sky"),
        (["--interval", "0"], "--interval"),
    ],
)
def test_mistakes_are_one_message_and_exit_code_2(
    config_file: Callable[..., Path], sky: Path, words: list[str], message: str
) -> None:
    config = made(config_file(**LAST))
    assert message in ran(ap_proto, "-c", config, *words, sky, code=2).output
    assert L1db(config).lastVisit() is None


def test_missing_files_and_tables_are_named(config_file: Callable[..., Path], sky: Path, tmp_path: Path) -> None:
    assert "none.cfg" in ran(ap_proto, "-c", tmp_path / "none.cfg", *RUN, sky, code=2).output
    config = config_file(**LAST)
    assert "create_l1_schema" in ran(ap_proto, "-c", config, *RUN, sky, code=2).output
    made(config)
    assert "none.npy" in ran(ap_proto, "-c", config, *RUN, tmp_path / "none.npy", code=2).output
    away = config_file(url="postgresql://u:secret@127.0.0.1:1/x", name="away.cfg")
    output = ran(ap_proto, "-c", away, *RUN, sky, code=1).output
    assert "secret" not in output and "Traceback" not in output


def test_a_second_visit_of_the_same_id_cannot_be_saved(config_file: Callable[..., Path]) -> None:
    db = L1db(made(config_file(**LAST)))
    db.store_visit(Visit(1, START), None, None, None)
    assert db.lastVisit() == Visit(1, START, 0, 0)
