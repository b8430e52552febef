"""What CAVE's administrators look at: workers, queues, active runs, volumes and their versions (rest_api 1.8)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Response, jsonify

from ..domain.errors import BadRequest, UnknownVersion
from ..domain.names import segmentation_table
from ..domain.plan import RunStatus
from ..storage import preview, run_records
from ..storage import version_registry as registry
from ..storage.csv_dump import dump_table
from ..storage.version_registry import Version
from ..workflows import status
from .arguments import MATERIALIZE, Blueprint
from .auth import check_read, needs_admin, needs_dataset_admin
from .extensions import live_session
from .parts import parts
from .records import version_record

blueprint = Blueprint("operation", __name__, url_prefix=f"{MATERIALIZE}/v2", description="The service itself")

_FIRST_ROWS = 10
_VOLUME = "/aligned_volumes/<aligned_volume>"


@blueprint.route("/workflow/status/active")
@needs_admin
def active_tasks() -> Response:
    """Tasks in the hands of each worker, null where no worker answers."""
    return jsonify(status.active_tasks(parts().celery))


@blueprint.route("/workflow/status/locks")
@needs_admin
def list_locks() -> Response:
    """Active runs: each keeps others of its kind from its volume or table until it is over."""
    return jsonify(_locks())


@blueprint.route("/workflow/status/locks", methods=["PUT"])
@needs_admin
def release_locks() -> Response:
    """The same list: a run gives its place up when it ends, and taking it away would let two work on one table."""
    return jsonify(_locks())


def _locks() -> dict[str, dict[str, Any]]:
    runs = run_records.list_runs(parts().services.cluster, None, 1000)
    return {
        run.id: {"locked": True, "kind": str(run.kind), "datastack": run.datastack}
        for run in runs
        if run.status is RunStatus.RUNNING
    }


@blueprint.route("/celery/status/queue")
@needs_admin
def queue_length() -> Response:
    """Messages that wait in queue `process`."""
    return jsonify(status.queue_length(parts().celery, "process"))


@blueprint.route("/celery/status/info")
@needs_admin
def worker_info() -> Response:
    """What every worker tells of itself."""
    return jsonify(status.workers(parts().celery))


@blueprint.route("/aligned_volume/<aligned_volume>")
@needs_admin
def volume_datastacks(aligned_volume: str) -> Response:
    """The datastacks on a volume."""
    return jsonify([{"datastack": stack.name} for stack in parts().datastacks_of(aligned_volume)])


@blueprint.route(_VOLUME)
@needs_admin
def volume_versions(aligned_volume: str) -> Response:
    """Versions of every datastack on a volume, whatever their status, and whether they are pinned."""
    found, session = _versions(aligned_volume), live_session(aligned_volume)
    pins = {name: registry.pinned(session, name) for name in {each.datastack for each in found}}
    return jsonify([{**version_record(each), "pinned": each.version in pins[each.datastack]} for each in found])


@blueprint.route(_VOLUME, methods=["POST"])
@needs_admin
def make_volume(aligned_volume: str) -> Response:
    """Make the live database of a volume, with its fixed tables, where it is missing."""
    parts().datastacks_of(aligned_volume)
    parts().live.meet(aligned_volume)
    return jsonify(200)


@blueprint.route(f"{_VOLUME}/version/<int:version>")
@needs_admin
def volume_tables(aligned_volume: str, version: int) -> Response:
    """Tables of a version."""
    found, session = _version(aligned_volume, version)
    tables = registry.tables(session, parts().datastack(found.datastack), found)
    return jsonify(
        [
            {
                "id": table.id,
                "aligned_volume": table.aligned_volume,
                "schema": table.schema,
                "table_name": table.name,
                "valid": table.valid,
                "row_count": table.row_count,
            }
            for table in tables
        ]
    )


@blueprint.route(f"{_VOLUME}/version/<int:version>/tablename/<table>")
@needs_admin
def volume_rows(aligned_volume: str, version: int, table: str) -> Response:
    """The first ten rows of a table, as they lie."""
    found, session = _version(aligned_volume, version)
    held = registry.table(session, parts().datastack(found.datastack), found, table)
    return jsonify(preview.first_rows(parts().pool, found, held, _FIRST_ROWS))


@blueprint.route(
    "/materialize/run/dump_csv_table/datastack/<datastack>/version/<int(signed=True):version>/table_name/<table>/",
    methods=["POST"],
)
@needs_dataset_admin
def dump_csv_table(datastack: str, version: int, table: str) -> Response:
    """Write a table of a version, -1 for the newest, into the folder of MATERIALIZATION_DUMP_FOLDER."""
    folder = parts().settings.dump_folder
    if not folder:
        raise BadRequest("this service dumps no tables: MATERIALIZATION_DUMP_FOLDER names no folder to write to")
    stack = parts().datastack(datastack)
    session = live_session(stack.aligned_volume)
    number = _newest(session, datastack) if version == -1 else version
    found = registry.readable_version(session, datastack, number)
    held = registry.table(session, stack, found, table)
    check_read(held.annotation)
    target = Path(folder) / datastack / f"v{number}"
    dumps = [dump_table(parts().services.cluster, found.database, table, target)]
    if not found.is_merged and held.segmentation is not None:
        ids = segmentation_table(table, stack.pcg_table)
        dumps.append(dump_table(parts().services.cluster, found.database, ids, target))
    message = "written" if any(dump.fresh for dump in dumps) else "was there already"
    return jsonify({"message": message, "csv_path": str(dumps[0].rows), "header_path": str(dumps[0].header)})


def _newest(session: Any, datastack: str) -> int:
    found = registry.versions(session, datastack)
    if not found:
        raise UnknownVersion(f"datastack {datastack!r} has no version yet", field="version")
    return max(version.version for version in found)


def _versions(volume: str) -> list[Version]:
    stacks = parts().datastacks_of(volume)
    session = live_session(volume)
    return [found for stack in stacks for found in registry.versions(session, stack.name, expired=True)]


def _version(volume: str, number: int) -> tuple[Version, Any]:
    for found in _versions(volume):
        if found.version == number:
            return found, live_session(volume)
    raise UnknownVersion(f"no datastack on {volume} has a version {number}", field="version")
