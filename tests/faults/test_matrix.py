"""Every case of the matrix in real processes, and the final state held against an undisturbed run's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localcave.world import make
from materializationengine.domain.plan import RunStatus
from materializationengine.domain.records import RunRecord
from tests.faults.cases import CASES, Case, End, Fault, Flow
from tests.faults.deeds import DEEDS, Stage
from tests.faults.judge import Eye, State, newest_only
from tests.faults.plant import Plant, until
from tests.faults.scenes import Scene
from tests.harness import Neighbors, drop_databases

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

Calm = Callable[[Flow], State]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def world(folder: Path) -> Path:
    """A small world with eight chunks."""
    make(folder / "world", seed=11, size=128, synapses=600)
    return folder / "world"


@pytest.fixture(scope="module")
def plant(folder: Path, neighbors: Neighbors) -> Iterator[Plant]:
    with Plant(folder, neighbors).running() as found:
        yield found


@pytest.fixture(scope="module")
def calm(plant: Plant, world: Path) -> Calm:
    """The state that a workflow leaves when nothing disturbs it."""
    known: dict[Flow, State] = {}

    def undisturbed(flow: Flow) -> State:
        if flow not in known:
            scene = Scene(plant, flow, f"calm{len(known)}", world)
            scene.prepare()
            record = by_schedule(scene) if flow is Flow.PERIODIC else scene.run(scene.request())
            assert record.status is RunStatus.SUCCEEDED, record.error
            known[flow] = settled(Eye(plant, scene.datastack))
            drop_databases(plant.cluster.url, scene.datastack)
        return known[flow]

    return undisturbed


def by_schedule(scene: Scene) -> RunRecord:
    """The run of a slot that nothing disturbs."""
    scene.schedule_it()
    scene.plant.start_beat()
    record = scene.wait_for_firing()
    scene.plant.kill("beat")
    scene.plant.schedules.write_text("[]")
    return record


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_breaks_changes_nothing_in_the_end(
    case: Case, plant: Plant, world: Path, folder: Path, calm: Calm
) -> None:
    wanted = calm(case.flow)
    scene = Scene(plant, case.flow, f"case{CASES.index(case)}", world)
    kept = scene.take_chunk_away(folder / "holes") if case.fault is Fault.MISSING_CHUNK else None
    scene.prepare()
    stage = Stage(case, scene, folder)
    try:
        DEEDS[case.fault](stage)
        plant.start_workers()
        found = ENDS[case.end](stage, kept)
        if kept is None:
            assert found == wanted
        else:
            assert newest_only(found) == newest_only(wanted)
    finally:
        heal(plant, stage)
        drop_databases(plant.cluster.url, scene.datastack)


def settled(eye: Eye) -> State:
    """The state when sweepers have cleared what was left; every root in it is right."""
    until(lambda: not eye.left_behind(), f"nothing is left behind, but {eye.left_behind()}", 30)
    assert eye.wrong_roots() == []
    return eye.state()


def heal(plant: Plant, stage: Stage) -> None:
    """Leave the plant as the next case expects it."""
    stage.let_go()
    (plant.gates / "met").unlink(missing_ok=True)
    plant.schedules.write_text("[]")
    plant.proxy.spoil = None
    for name in ("beat", "beat2", "web"):
        plant.kill(name)
    plant.start_workers()


def succeeded(stage: Stage) -> State:
    record = stage.over()
    assert record.status is RunStatus.SUCCEEDED, record.error
    return settled(Eye(stage.plant, stage.scene.datastack))


def unnoticed(stage: Stage, _: Path | None) -> State:
    found = succeeded(stage)
    assert {(attempt, failures) for *_, attempt, failures in stage.units()} == {(1, 0)}
    return found


def taken_over(stage: Stage, _: Path | None) -> State:
    found = succeeded(stage)
    units = stage.units()
    assert [unit for unit in units if unit[1] == stage.action and unit[3] > 1]
    assert not any(failures for *_, failures in units)
    return found


def again(stage: Stage, _: Path | None) -> State:
    found = succeeded(stage)
    assert [unit for unit in stage.units() if unit[1] == stage.action and unit[3] > 1]
    return found


def kept_done(stage: Stage, _: Path | None) -> State:
    found = succeeded(stage)
    assert not any(failures for *_, failures in stage.units())
    return found


def retried(stage: Stage, _: Path | None) -> State:
    found = succeeded(stage)
    assert [unit for unit in stage.units() if unit[1] == stage.action and unit[4] >= 1]
    return found


def fails(stage: Stage, _: Path | None) -> State:
    """It says why and leaves nothing; the next run, asked for in the same words, ends as an undisturbed one."""
    record = stage.over()
    assert record.status is RunStatus.FAILED
    assert re.search(stage.case.sentence, record.error or ""), record.error
    assert {action for _, action, status, *_ in stage.units() if status == "FAILED"} == {stage.action}
    eye = Eye(stage.plant, stage.scene.datastack)
    settled(eye)
    if record.version is not None:
        statement = "SELECT status::text FROM analysisversion WHERE version = %s"
        assert stage.plant.rows(statement, record.version, database=eye.volume) == [("FAILED",)]
    return next_run(stage)


def next_run(stage: Stage) -> State:
    stage.record = stage.scene.start()
    return succeeded(stage)


def refused(stage: Stage, _: Path | None) -> State:
    assert stage.record is None
    eye = Eye(stage.plant, stage.scene.datastack)
    assert stage.plant.rows("SELECT 1 FROM analysisversion", database=eye.volume) == []
    return next_run(stage)


def owed(stage: Stage, kept: Path | None) -> State:
    """Each gap has its reason, and no other column is empty; with the chunk back the next ingest fills them."""
    found = succeeded(stage)
    gaps = [row for row in found.live["owed"] if row[3] == "missing_chunk"]
    assert gaps and gaps == found.live["owed"]
    assert kept is not None
    stage.scene.put_chunk_back(kept)
    return next_run(stage)


def one_run(stage: Stage, _: Path | None) -> State:
    found = succeeded(stage)
    assert len(stage.scene.fired()) == 1
    assert stage.scene.outcomes().count("FIRED") == 1
    return found


ENDS: dict[End, Callable[[Stage, Path | None], State]] = {
    End.UNNOTICED: unnoticed,
    End.TAKEN_OVER: taken_over,
    End.AGAIN: again,
    End.KEPT: kept_done,
    End.RETRIED: retried,
    End.FAILS: fails,
    End.REFUSED: refused,
    End.OWED: owed,
    End.ONE_RUN: one_run,
}


def test_the_matrix_has_every_fault_and_every_workflow() -> None:
    assert {case.fault for case in CASES} == set(Fault) == set(DEEDS)
    assert {case.flow for case in CASES} == set(Flow)
    assert len({case.name for case in CASES}) == len(CASES) >= 40
