"""The quickstart, the tutorial and the pages that go on from it, typed along on a real stack with the real client."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.kernel.redis import PrivateRedis
from tests.docs.pages import ROOT, commands
from tests.docs.playing import CLIENT, play, reworded, type_lines
from tests.workflows.workers import worker

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A reader's folder, whose stack ends with the tests."""
    if not CLIENT.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(".venv-caveclient is missing; `make setup-clients`")
        pytest.skip(".venv-caveclient is missing; `make setup-clients`")
    folder = tmp_path_factory.mktemp("reader")
    yield folder
    type_lines(["matengine stack down --remove-data"], folder)


def test_the_quickstart_makes_two_versions_that_differ(folder: Path) -> None:
    told = play(DOCS / "quickstart.md", folder)
    assert len(re.findall(r"complete \w{12}: SUCCEEDED, version [12]", told)) == 2
    assert len(re.findall(r"AVAILABLE", told)) == 2
    found = re.search(r"(\d+) of 2000 presynaptic ends have a new root id", told)
    assert found is not None, told
    assert 0 < int(found[1]) < 2000


def test_the_tutorial_tells_what_it_promises(folder: Path) -> None:
    told = play(DOCS / "tutorial.md", folder)
    assert re.findall(r"complete \w{12}: SUCCEEDED, version (\d)", told) == ["1", "2", "3"]


def test_operating_goes_on_from_the_tutorial(folder: Path) -> None:
    type_lines(["matengine stack up"], folder)
    told = play(DOCS / "how-to/operate.md", folder)
    assert re.search(r"ingest \w{12}: SUCCEEDED", told)
    assert re.search(r"retire \w{12}: SUCCEEDED", told)


def test_starting_a_run_over_rest_goes_on_from_the_quickstart(folder: Path) -> None:
    told = play(DOCS / "api.md", folder)
    found = re.fullmatch(r"(\w{12}) (READY|RUNNING) \w+\n", told)
    assert found is not None, told
    assert "SUCCEEDED" in type_lines([f"matengine runs {found[1]} --watch"], folder)


def test_a_first_datastack_is_examined_and_takes_a_table(folder: Path) -> None:
    type_lines(["matengine world load brain --datastack fly"], folder)
    (folder / "points").mkdir()
    voxels = np.load(folder / "brain/annotations/synapses/presyn_coords.npy")[:50]
    for name, column in (("pts", voxels), ("ids", np.arange(1, 51)), ("tags", np.full(50, "spine"))):
        np.save(folder / f"points/{name}.npy", column)
    told = play(DOCS / "how-to/first-datastack.md", folder)
    assert "ok   fly volume" in told and "FAIL" not in told
    assert re.search(r"bulk-upload \w{12}: SUCCEEDED", told) and re.search(r"ingest \w{12}: SUCCEEDED", told)


VERSION = {"fly/version/12": "tutorial/version/1", "fly 12": "tutorial 1"}


def test_versions_are_kept_by_hand_as_the_page_on_schedules_says(folder: Path) -> None:
    play(DOCS / "how-to/schedule.md", folder, VERSION)
    shown = json.loads(type_lines(["matengine versions tutorial 1 --json"], folder))
    assert [version["expires_on"] for version in shown] == [None], shown


def test_a_version_is_fetched_as_a_file(folder: Path) -> None:
    assert play(DOCS / "how-to/scale.md", folder, VERSION) == "2000\n"


@pytest.mark.parametrize("page", ["upgrade.md", "deploy.md"])
def test_the_service_is_emptied_and_goes_on(page: str, folder: Path) -> None:
    play(DOCS / "how-to" / page, folder, {"/backups": str(folder / "backups")})
    assert "SUCCEEDED" in type_lines(["matengine run dummy --wait"], folder)


def test_a_backup_is_restored_elsewhere_as_the_page_says(folder: Path, redis: PrivateRedis, tmp_path: Path) -> None:
    """The backup is made of the stack; each of the two ways back is tried on a server of its own."""
    instead = {"/backups": str(tmp_path), "minnie65": "tutorial", "1207": "2"}
    lines = [reworded(line, instead) for line in commands(DOCS / "how-to/back-up.md")]
    backup, restore, without, rebuild = lines
    type_lines([backup], folder)
    server = json.loads((folder / ".matengine/stack.json").read_text())["server"]
    for number, told in enumerate(([restore], [without, rebuild])):
        with PrivateCluster(tmp_path / f"server{number}", durable=False, keep=False) as cluster:
            environ = {
                "SQLALCHEMY_DATABASE_URI": cluster.url,
                "REDIS_URL": redis.url,
                "LOCAL_SERVER_URL": server,
                "MATENGINE_DIR": "",
            }
            with worker(environ, tmp_path / "log", concurrency=1):
                type_lines(told, tmp_path, environ)
                versions = json.loads(type_lines(["matengine versions tutorial --json"], tmp_path, environ))
            status = {version["version"]: version["status"] for version in versions}
            assert status[2] == "AVAILABLE" and (number == 1 or set(status.values()) == {"AVAILABLE"})


def test_a_page_that_promises_too_much_fails(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('```python\nprint("one")\n```\n\n```text\ntwo\n```\n')
    with pytest.raises(AssertionError, match="the page says"):
        play(page, folder)
