"""Every line and block of code in the manual is carried out by a test, or it says here why not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, blocks, commands

PLAYED = {
    "docs/quickstart.md": "test_the_quickstart_makes_two_versions_that_differ",
    "docs/tutorial.md": "test_the_tutorial_tells_what_it_promises",
    "docs/api.md": "test_starting_a_run_over_rest_goes_on_from_the_quickstart",
    "docs/how-to/operate.md": "test_operating_goes_on_from_the_tutorial",
    "docs/how-to/first-datastack.md": "test_a_first_datastack_is_examined_and_takes_a_table",
    "docs/how-to/schedule.md": "test_versions_are_kept_by_hand_as_the_page_on_schedules_says",
    "docs/how-to/scale.md": "test_a_version_is_fetched_as_a_file",
    "docs/how-to/upgrade.md": "test_the_service_is_emptied_and_goes_on",
    "docs/how-to/deploy.md": "test_the_service_is_emptied_and_goes_on",
    "docs/how-to/back-up.md": "test_a_backup_is_restored_elsewhere_as_the_page_says",
}
"""Pages whose `matengine` lines and Python are typed along, in tests/docs/test_played_pages.py."""

TESTED = {
    "how-to/migrate-from-cave.md: matengine ": "acceptance/test_cave_migration.py",
    "how-to/roles.md: matengine db roles": "cli/test_roles.py",
    "how-to/roles.md: CREATE ROLE ann": "cli/test_roles.py",
    "citing.md: import hashlib": "web/test_citations.py",
    "localcave.md: ": "docs/test_other_pages.py",
    "l1db/index.md: cp ": "docs/test_other_pages.py",
    "l1db/database.md: ": "docs/test_other_pages.py",
    "l1db/measurements.md: python -m bench.visits": "l1dbproto/test_l1_bench.py",
    "workflows.rst: column_mapping": "docs/test_blocks.py",
    "workflows.rst: matengine run incremental": "acceptance/test_examples.py",
    "README.md: from caveclient": "acceptance/test_main_job.py",
    "README.md: celery --app=run.celery": "workflows/test_manual_path.py",
    "README.md: BEAT_SCHEDULES=": "workflows/test_beat.py",
    "CONTRIBUTING.md: from materializationengine": "docs/test_blocks.py",
    "CONTRIBUTING.md: .venv/bin/python scripts/refresh_docs.py": "docs/test_generated.py",
    "CONTRIBUTING.md: .venv/bin/python -m materializationengine.domain.schemas": "domain/test_schemas_json.py",
    "examples/README.md: ": "acceptance/test_examples.py",
    ": celery --app=run.celery worker": "workflows/test_manual_path.py",
    ": make demo": "acceptance/test_main_job.py",
    ": make setup": "stack/test_packaging.py",
    ": make docs": "docs/test_site.py",
    ": python run.py": "workflows/test_manual_path.py",
    ": pip install .": "stack/test_packaging.py",
}
"""The end of a page's name and the beginning of a block or line, and the file of the test that carries it out."""

NOT_HERE = {
    ": apt-get update": "the build machine's own packages; tried on a clean machine",
    ": git clone": "the network",
    ": cd ": "where the reader is",
    ": source ": "the test has the environment already",
    ": python3 -m venv": "tests/stack/test_packaging.py makes its own",
    ": docker ": "needs Docker; tests/stack/test_containers.py checks what is started",
    "deploy.md: kubectl": "needs a cluster; tests/stack/test_deployment.py checks the names of the secret",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A line behind a prompt, or a whole block."""

    page: Path
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.text.strip()}"

    def fits(self, place: str) -> bool:
        """Whether a place of the tables above is this one."""
        page, _, beginning = place.partition(": ")
        return str(self.page).endswith(page) and self.text.strip().startswith(beginning)


PIECES = [
    *(Piece(page, line) for page in PAGES for line in commands(page)),
    *(Piece(block.page, block.text) for language in ("python", "sh", "sql") for block in blocks(language)),
]


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: piece.name.splitlines()[0][:80])
def test_a_piece_is_carried_out_or_says_why_not(piece: Piece) -> None:
    words = piece.text.strip()
    typed = not words.startswith(("celery ", "kubectl ", "docker ", "make ", "pip ", "python", "source ", "CREATE"))
    played = str(piece.page.relative_to(ROOT)) in PLAYED and typed
    assert played or any(piece.fits(place) for place in {**TESTED, **NOT_HERE}), piece.name


@pytest.mark.parametrize("table", [TESTED, NOT_HERE], ids=["tested", "not here"])
def test_the_tables_name_nothing_that_is_gone(table: dict[str, str]) -> None:
    assert [place for place in table if not any(piece.fits(place) for piece in PIECES)] == []


def test_the_tests_that_are_named_exist() -> None:
    assert [name for name in TESTED.values() if not (ROOT / "tests" / name).is_file()] == []
    source = (ROOT / "tests/docs/test_played_pages.py").read_text(encoding="utf-8")
    for page, test in PLAYED.items():
        body = re.split(rf"def {test}\(", source)[1].split("\ndef ")[0]
        assert page.rpartition("/")[2] in body or f'"{page.rpartition("/")[2]}"' in source, page
