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
        self.cluster = Cluster(settings.database_url, application=application, lock_timeout=settings.lock_timeout)
        self.datastacks = _datastacks(settings)
        self.broker = Broker(settings.broker)
        self._graphs: dict[str, HttpChunkedGraph] = {}
        self._volumes: dict[str, TensorStoreSegmentation] = {}
        self._guard = threading.Lock()

    def graph(self, datastack: Datastack) -> HttpChunkedGraph:
        """The chunkedgraph of a datastack, asked for its `info` once in the life of the process."""
        with self._guard:
            if datastack.pcg_table not in self._graphs:
                settings = self.settings
                self._graphs[datastack.pcg_table] = HttpChunkedGraph(
                    settings.graph_server,
                    datastack.pcg_table,
                    self.graph_token(datastack),
                    batch=settings.graph_batch,
                    timeout=settings.graph_timeout,
                    throttle=self._throttle(),
                    observe=self.broker.count_call,
                )
            return self._graphs[datastack.pcg_table]

    def graph_token(self, datastack: Datastack) -> str | None:
        """The token by which the engine asks the graph of a datastack, if it has one."""
        return self.settings.token()

    def token_fix(self, datastack: Datastack) -> str:
        """Where a token goes that the graph takes."""
        name = self.settings.token_file or "DAF_CREDENTIALS"
        return f"put a token of the engine's account that may view {datastack.name} into {name}"

    def _throttle(self) -> Callable[[], None] | None:
        settings = self.settings
        if settings.graph_rate <= 0:
            return None
        ensure(self.cluster, self.cluster.home)
        return throttle(SharedBucket(self.cluster, "chunkedgraph", settings.graph_rate, settings.graph_burst))

    def segmentation(self, datastack: Datastack) -> TensorStoreSegmentation:
        """The volume under a datastack, opened once in the life of the process."""
        graph = self.graph(datastack)
        source = datastack.segmentation_source
        with self._guard:
            if source not in self._volumes:
                missing = self.settings.missing_chunks
                self._volumes[source] = open_segmentation(source, graph, missing_chunks=missing)  # type: ignore[arg-type]
            return self._volumes[source]

    def folder(self, url: str) -> Folder:
        """A folder of `.npy` files."""
        return open_folder(url, GcsAccess(self.settings.storage_emulator, self.settings.credentials_file))

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
            folder=self.folder,
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
    return InfoService(settings.info_server, settings.token())
