"""The engine without its queue, for tests that look at steps and answers rather than at delivery."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import psycopg2
import pyarrow as pa
import requests

from materializationengine.bootstrap import Services
from materializationengine.domain.names import frozen_database
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.records import RunRecord
from materializationengine.gateways.worlds import LocalWorlds
from materializationengine.kernel.urls import libpq
from materializationengine.storage import run_records
from materializationengine.storage.ledger import Message
from materializationengine.workflows.execute import run_unit
from materializationengine.workflows.launch import launch
from materializationengine.workflows.requests import RunRequest, UploadRequest

SYNAPSE_MAPPING = {
    "id": "id",
    "presyn_coords": "pre_pt_position",
    "postsyn_coords": "post_pt_position",
    "center_coords": "ctr_pt_position",
    "sizes": "size",
}


@dataclass(frozen=True, slots=True)
class Neighbors:
    """Local CAVE: its address, and its own routes."""

    url: str
    worlds: LocalWorlds

    def faults(self, **faults: object) -> None:
        """Switch faults on (routes of local CAVE beside the services)."""
        requests.put(f"{self.url}/localcave/faults", json=faults, timeout=10).raise_for_status()

    def mend(self) -> None:
        """Switch all faults off."""
        requests.delete(f"{self.url}/localcave/faults", timeout=10).raise_for_status()


class Engine:
    """Starts runs and does their units in this process."""

    def __init__(self, services: Services, neighbors: Neighbors) -> None:
        self.services, self.neighbors = services, neighbors

    def load(self, world: Path, datastack: str, until: datetime | None = None) -> None:
        """Make a datastack of a world."""
        self.neighbors.worlds.load(world, datastack, until)

    def edit(self, datastack: str, until: datetime | None = None) -> None:
        """Let the world's history go on."""
        self.neighbors.worlds.edit(datastack, until)

    def start(self, request: RunRequest, queue: list[Message]) -> RunRecord:
        """Start a run; its first messages are appended to the queue."""
        return launch(self.services, request, queue.extend)

    def start_only(self, kind: RunKind, datastack: str | None = None, **fields: object) -> str:
        """Start a run and do nothing of it; its id."""
        return self.start(RunRequest(kind, datastack, **fields), []).id  # type: ignore[arg-type]

    def drain(self, queue: list[Message]) -> None:
        """Do units until no message is left."""
        while queue:
            message = queue.pop(0)
            queue += run_unit(self.services, message.database, message.unit, "tests")

    def run(self, kind: RunKind, datastack: str | None = None, **fields: object) -> RunRecord:
        """A whole run, which must succeed."""
        record = self.attempt(kind, datastack, **fields)
        assert record.status is RunStatus.SUCCEEDED, record.error
        return record

    def attempt(self, kind: RunKind, datastack: str | None = None, **fields: object) -> RunRecord:
        """A whole run, however it ends."""
        return self.carry_out(RunRequest(kind, datastack, **fields))  # type: ignore[arg-type]

    def carry_out(self, request: RunRequest) -> RunRecord:
        """A whole run of a request, however it ends."""
        queue: list[Message] = []
        record = self.start(request, queue)
        for _ in range(20):
            self.drain(queue)
            found = run_records.find_run(self.services.cluster, record.id, units=True)
            if found.status.over:
                return found
            queue += self._due(record.database)
        raise AssertionError(f"run {record.id} does not end: {found}")

    def _due(self, database: str) -> list[Message]:
        from materializationengine.storage import ledger

        with self.services.cluster.connect(database) as connection:
            return ledger.sweep(connection, database, resend=0)

    def upload_synapses(self, world: Path, datastack: str, created: datetime, **fields: object) -> RunRecord:
        """The world's synapses as table `synapses`."""
        request = UploadRequest(
            "synapses",
            "synapse",
            str(world / "annotations/synapses"),
            SYNAPSE_MAPPING,
            created=created,
            **fields,  # type: ignore[arg-type]
        )
        return self.run(RunKind.BULK_UPLOAD, datastack, upload=request)

    def frozen(self, datastack: str, version: int | None, table: str = "synapses") -> pa.Table:
        """All rows of a frozen table by id, positions left out."""
        assert version is not None
        with self.services.cluster.connect(frozen_database(datastack, version)) as connection:
            names = connection.rows(
                "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND "
                "atttypid <> 'geometry'::regtype ORDER BY attnum",
                table,
            )
            columns = ", ".join(f'"{name}"' for (name,) in names)
            return connection.table(f'SELECT {columns} FROM "{table}" ORDER BY id')


def ends(rows: pa.Table, suffix: str) -> np.ndarray:
    """The pre and post column of a synapse table, shape (n, 2); NULL as -1."""
    parts = [rows[f"{side}_pt_{suffix}"].fill_null(-1).to_numpy() for side in ("pre", "post")]
    return np.stack(parts, axis=1)


def copy_world(world: Path, target: Path, edits: bool = True) -> Path:
    """A world of its own folder, whose history a test may write; the volume is shared by link."""
    target.mkdir(parents=True)
    shutil.copy(world / "about.json", target)
    shutil.copytree(world / "graph", target / "graph")
    for part in ("segmentation", "annotations", "truth"):
        (target / part).symlink_to((world / part).resolve())
    if not edits:
        (target / "graph/edits.jsonl").write_text("")
    return target


def drop_databases(url: str, datastack: str) -> None:
    """Drop every database whose name begins with a datastack's."""
    with closing(psycopg2.connect(libpq(url))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE datname ~ %s", (f"^{datastack}(_|$)",))
            for (name,) in cursor.fetchall():
                cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
