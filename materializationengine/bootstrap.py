"""The one place where real parts are chosen: doors and workers ask here, steps are handed what they need."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from .config import Settings
from .domain.datastack import Datastack
from .domain.plan import Plan
from .domain.ports import Datastacks, Folder
from .gateways.access import GcsAccess
from .gateways.annotations import HttpAnnotations
from .gateways.broker import Broker
from .gateways.buckets import open_folder
from .gateways.chunkedgraph import HttpChunkedGraph
from .gateways.datastacks import InfoService, StaticDatastacks
from .gateways.secrets import Limits, Secrets
from .gateways.segmentation import TensorStoreSegmentation, open_segmentation
from .kernel.columns import Connection
from .steps.work import Work
from .storage.engines import Cluster
from .storage.graph_tokens import SharedBucket, throttle
from .storage.ledger import ClaimedUnit
from .storage.live_database import ensure

T = TypeVar("T")


class Services:
    """The parts of one process. Made after a fork, kept for the life of the process, safe between threads."""

    def __init__(self, settings: Settings, application: str = "matengine") -> None:
        self.settings = settings
        # A token file that cannot be read is told at the start rather than in the middle of a run.
        settings.token()
        self.secrets = Secrets(settings)
        self.cluster = Cluster(
            settings.database_url,
            application=application,
            lock_timeout=settings.lock_timeout,
            pool_size=settings.pool_size,
            overflow=settings.pool_overflow,
        )
        self.datastacks = _datastacks(settings)
        self.broker = Broker(settings.broker)
        self._graphs: dict[str, tuple[tuple[Limits, str], HttpChunkedGraph]] = {}
        self._volumes: dict[str, TensorStoreSegmentation] = {}
        self._guard = threading.Lock()

    def graph(self, datastack: Datastack) -> HttpChunkedGraph:
        """The chunkedgraph of a datastack, asked for its `info` once in the life of the process, or of its limits."""
        name, limits = datastack.name, self.secrets.limits(datastack.name)
        with self._guard:
            known = self._graphs.get(name)
            if known is None or known[0] != (limits, datastack.pcg_table):
                made = HttpChunkedGraph(
                    self.settings.graph_server,
                    datastack.pcg_table,
                    partial(self.secrets.token, name),
                    batch=limits.graph_batch,
                    timeout=limits.graph_timeout,
                    throttle=self._throttle(name, limits),
                    observe=self.broker.count_call,
                )
                self._graphs[name] = known = ((limits, datastack.pcg_table), made)
            return known[1]

    def _throttle(self, name: str, limits: Limits) -> Callable[[], None] | None:
        if limits.graph_rate <= 0:
            return None
        ensure(self.cluster, self.cluster.home)
        bucket = f"chunkedgraph {name}" if limits.own_rate else "chunkedgraph"
        return throttle(SharedBucket(self.cluster, bucket, limits.graph_rate, limits.graph_burst))

    def segmentation(self, datastack: Datastack) -> TensorStoreSegmentation:
        """The volume under a datastack, opened once in the life of the process."""
        graph = self.graph(datastack)
        source = datastack.segmentation_source
        with self._guard:
            if source not in self._volumes:
                missing = self.settings.missing_chunks
                self._volumes[source] = open_segmentation(source, graph, missing_chunks=missing)  # type: ignore[arg-type]
            return self._volumes[source]

    def folder(self, url: str, datastack: str | None = None) -> Folder:
        """A folder of `.npy` files, opened with the credentials of a datastack."""
        credentials = self.secrets.credentials_file(datastack)
        return open_folder(url, GcsAccess(self.settings.storage_emulator, credentials))

    def annotations(self) -> HttpAnnotations:
        """The annotation service over REST, which need not be this one."""
        return HttpAnnotations(self.settings.annotation_server_url, self.settings.token())

    def work(self, unit: ClaimedUnit, connection: Connection) -> Work:
        """What a unit is handed."""
        return Work(
            plan=unit.plan,
            run_id=unit.run_id,
            token=unit.token,
            version=unit.version,
            connection=connection,
            cluster=self.cluster,
            settings=self.settings,
            graph=partial(_of_plan, self.graph, unit.plan),
            segmentation=partial(_of_plan, self.segmentation, unit.plan),
            folder=partial(self.folder, datastack=None if unit.plan.datastack is None else unit.plan.stack.name),
            annotations=self.annotations,
        )

    def close(self) -> None:
        """Close what is pooled."""
        self.cluster.close()
        self.broker.close()


def _of_plan(part: Callable[[Datastack], T], plan: Plan) -> T:
    return part(plan.stack)


def _datastacks(settings: Settings) -> Datastacks:
    if settings.datastacks_file:
        return StaticDatastacks(settings.datastacks_file)
    return InfoService(settings.info_server, settings.token)
