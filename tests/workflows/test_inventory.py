"""Every workflow is a task, a verb, a trigger and a heading of the manual, and no trigger of CAVE lacks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from materializationengine.cli import main
from materializationengine.config import Settings
from materializationengine.domain.plan import RunKind
from materializationengine.web.app import create_app
from materializationengine.workflows.celery_app import create_celery

ROOT = Path(__file__).parents[2]
V2, V3 = "/materialize/api/v2", "/materialize/api/v3"
RUN = f"{V2}/materialize/run"


@dataclass(frozen=True)
class Doors:
    """Where one workflow can be started; `heading` is its section in the manual."""

    kind: RunKind
    task: str
    verb: str
    trigger: str
    heading: str


WORKFLOWS = (
    Doors(RunKind.BULK_UPLOAD, "workflow:gcs_bulk_upload_workflow", "bulk-upload",
          f"{V2}/bulk_upload/upload/<datastack>/<table>/<segmentation_source>/<description>", "Bulk Upload"),
    Doors(RunKind.INGEST, "workflow:process_new_annotations_workflow", "ingest",
          f"{RUN}/ingest_annotations/datastack/<datastack>", "Ingest New Annotations"),
    Doors(RunKind.LOOKUP_SVID, "process:ingest_table_svids", "lookup-svid",
          f"{RUN}/lookup_svid/datastack/<datastack>/<table>", "Lookup Supervoxels"),
    Doors(RunKind.SPARSE_MISSING_ROOTS, "workflow:process_sparse_missing_roots_workflow", "sparse-missing-roots",
          f"{RUN}/sparse_lookup_root_ids/datastack/<datastack>/table/<table>", "Sparse Missing Root"),
    Doors(RunKind.DENSE_MISSING_ROOTS, "workflow:process_dense_missing_roots_workflow", "dense-missing-roots",
          f"{RUN}/lookup_root_ids/datastack/<datastack>", "Missing Root"),
    Doors(RunKind.REMOVE_BAD_ROOTS, "workflow:fix_root_id_workflow", "remove-bad-roots",
          f"{RUN}/remove_bad_root_ids/datastack/<datastack>/table/<table>", "Bad Root"),
    Doors(RunKind.UPDATE_ROOTS, "workflow:update_root_ids_task", "update-roots",
          f"{RUN}/update_roots/datastack/<datastack>", "Update Root"),
    Doors(RunKind.UPDATE_DATABASE, "workflow:update_database_workflow", "update-database",
          f"{RUN}/update_database/datastack/<datastack>", "Update Database"),
    Doors(RunKind.FREEZE, "workflow:create_versioned_materialization_workflow", "freeze",
          f"{RUN}/create_frozen/datastack/<datastack>", "Create Versioned"),
    Doors(RunKind.COMPLETE, "workflow:run_complete_workflow", "complete",
          f"{RUN}/complete_workflow/datastack/<datastack>", "Complete Workflow"),
    Doors(RunKind.INCREMENTAL, "workflow:incremental_materialization", "incremental",
          f"{RUN}/incremental/datastack/<datastack>/version/<int(max=2147483647):base_version>", "Incremental"),
    Doors(RunKind.RETIRE, "workflow:remove_expired_databases", "retire", f"{V3}/runs", "Removal"),
    Doors(RunKind.DUMMY, "process:start_test_workflow", "dummy", f"{V2}/celery/test/<int:iterations>", "Dummy"),
)  # fmt: skip

TRIGGERS_OF_V2 = """
POST /celery/test/*
GET /workflow/status/active
GET /workflow/status/locks
PUT /workflow/status/locks
GET /celery/status/queue
GET /celery/status/info
POST /materialize/run/ingest_annotations/datastack/*
POST /materialize/run/ingest_annotations/datastack/*/*
POST /materialize/run/lookup_svid/datastack/*/*
POST /materialize/run/lookup_root_ids/datastack/*
POST /materialize/run/sparse_lookup_root_ids/datastack/*/table/*
POST /materialize/run/remove_bad_root_ids/datastack/*/table/*
POST /materialize/run/complete_workflow/datastack/*
POST /materialize/run/create_frozen/datastack/*
POST /materialize/run/update_roots/datastack/*
POST /materialize/run/update_database/datastack/*
POST /materialize/run/create_virtual/datastack/*
POST /materialize/run/dump_csv_table/datastack/*/version/*/table_name/*/
POST /bulk_upload/upload/*/*/*/*
POST /bulk_upload/missing_chunks/*/*/*/*
GET /aligned_volume/*
GET /aligned_volumes/*
POST /aligned_volumes/*
GET /aligned_volumes/*/version/*
GET /aligned_volumes/*/version/*/tablename/*
"""
"""All of the trigger API of CAVE's release 5.26 but Delta Lake, which has an issue of its own."""


@pytest.fixture(scope="module")
def rules() -> set[tuple[str, str]]:
    """(method, path) of every rule."""
    app = create_app(Settings(configuration="testing", auth_disabled=True))
    return {(method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods or ()}


def test_the_table_names_every_kind_of_run() -> None:
    assert sorted(doors.kind for doors in WORKFLOWS) == sorted(RunKind)


@pytest.mark.parametrize("doors", WORKFLOWS, ids=lambda doors: doors.verb)
def test_a_workflow_is_a_task_a_verb_a_trigger_and_a_heading(doors: Doors, rules: set[tuple[str, str]]) -> None:
    assert doors.task in create_celery(Settings()).tasks
    group = main.get_command(click.Context(main), "run")
    assert isinstance(group, click.Group) and doors.verb in group.commands
    assert ("POST", doors.trigger) in rules
    titles = re.findall(r"^(.+)\n(?:=+|-+|~+|\^+)$", (ROOT / "docs/workflows/workflows.rst").read_text(), re.MULTILINE)
    assert any(doors.heading.lower() in title.lower() for title in titles), titles


def test_schedules_have_their_tasks() -> None:
    tasks = create_celery(Settings()).tasks
    for name in ("run_periodic_materialization", "run_periodic_database_update", "run_periodic_database_removal"):
        assert f"workflow:{name}" in tasks


@pytest.mark.parametrize("base", [V2, V3])
@pytest.mark.parametrize("route", TRIGGERS_OF_V2.split("\n")[1:-1])
def test_every_trigger_of_cave_is_there(base: str, route: str, rules: set[tuple[str, str]]) -> None:
    there = {f"{method} {re.sub('<[^>]*>', '*', path).removeprefix(base)}" for method, path in rules}
    assert route in there
