"""The Celery application: queues, delivery, and the sweeper in every worker."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import structlog
from celery import Celery, bootsteps, current_app, group, shared_task, signals
from celery.app.task import Task
from kombu.exceptions import OperationalError

from ..bootstrap import Services
from ..config import Settings
from ..domain.errors import ConfigurationError, NewerDatabase, StorageUnavailable
from ..domain.plan import from_json
from ..domain.records import RunRecord
from ..kernel import trace
from ..kernel.logs import configure
from ..storage.engines import Cluster
from ..storage.ledger import Message
from ..storage.live_database import live_databases, refuse_newer
from . import periodic_materialization  # noqa: F401  (its tasks are named by beat's entries)
from .actions import ACTIONS
from .beat import beat_schedule
from .execute import run_unit
from .launch import launch
from .requests import RunRequest
from .sweeper import Presence, Rounds

log = structlog.get_logger(__name__)

QUEUES = ("celery", "process", "workflow")
RUN_HEADER, REQUEST_HEADER = "matengine_run_id", "matengine_request_id"
"""Headers of messages, for logs alone: a worker of an older release neither needs nor minds them."""

FIRST, LATER = 0, 3
"""Priorities as Celery's Redis transport has them: a list of its own for each, the lower number is emptied first."""

SEED_QUEUE = "processcelery"
"""A comma was lost in CAVE's old README; a worker told to consume it means `process` and `celery`."""


def route(name: str, *_: object, **__: object) -> dict[str, str]:
    """The queue of a task is the word before the colon of its name; a name without one goes to `celery`."""
    prefix, colon, _rest = name.partition(":")
    return {"queue": prefix if colon else "celery"}


def known_queues(asked: Iterable[str]) -> tuple[str, ...]:
    """The queues a worker shall consume. Raises ConfigurationError for an unknown one, with the list."""
    wanted: list[str] = []
    for name in asked:
        if name == SEED_QUEUE:
            log.warning("queue 'processcelery' lost its comma: consuming process and celery")
            wanted += ["process", "celery"]
        elif name in QUEUES:
            wanted.append(name)
        else:
            raise ConfigurationError(f"there is no queue {name!r}; there are {', '.join(QUEUES)}")
    return tuple(dict.fromkeys(wanted))


class EngineCelery(Celery):
    """Celery with the engine's parts at hand, made once in each process after its fork."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("materializationengine", broker=settings.broker, set_as_current=True)
        self.settings = settings
        self._made: tuple[int, Services] | None = None
        self.conf.update(_configuration(settings))
        self.steps["consumer"].add(Sweeper)
        self.steps["worker"].add(CheckQueues)
        self.steps["worker"].add(Present)
        self.presence: Presence | None = None
        self.steps["worker"].add(CheckLayouts)

    @property
    def services(self) -> Services:
        """The parts of this process."""
        if self._made is None or self._made[0] != os.getpid():
            self._made = (os.getpid(), Services(self.settings, "matengine worker"))
        return self._made[1]

    def launch(self, request: dict[str, Any]) -> RunRecord:
        """Start a run from the JSON fields of a `RunRequest`."""
        return launch(self.services, from_json(request, RunRequest), self.send)

    def send(self, messages: Sequence[Message]) -> None:
        """Send messages; a broker that is down loses them, and a sweeper sends them again."""
        if not messages:
            return
        try:
            group(_signature(self, message) for message in messages).apply_async()
        except OperationalError as error:
            log.warning("broker is down; a sweeper will send again", messages=len(messages), error=str(error))


def _signature(app: Celery, message: Message) -> Any:
    name = f"{ACTIONS[message.action].queue}:run_unit"
    ids = {RUN_HEADER: message.run_id, REQUEST_HEADER: message.request_id}
    signature = app.signature(name, args=(message.database, message.unit))
    return signature.set(headers=ids, priority=FIRST if message.urgent else LATER)


def _configuration(settings: Settings) -> dict[str, object]:
    return {
        "task_routes": (route,),
        "task_default_queue": "celery",
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {"visibility_timeout": int(settings.lease * 2), "socket_timeout": 20},
        "worker_soft_shutdown_timeout": 20.0,
        "timezone": "UTC",
        # Beat keeps no file: what was fired stands in PostgreSQL.
        "beat_scheduler": "materializationengine.workflows.beat:TickingScheduler",
        "beat_max_loop_interval": 10,
        "beat_schedule": beat_schedule(settings),
    }


class CheckQueues(bootsteps.StartStopStep):
    """Refuses a worker that was told to consume a queue that nothing is sent to."""

    requires: ClassVar = {"celery.worker.components:Pool"}

    def include_if(self, worker: Any) -> bool:
        """Check before anything is consumed."""
        queues = worker.app.amqp.queues
        chosen = known_queues(queues.consume_from)
        queues.select(())
        for name in chosen:
            queues.select_add(name)
        return False


class CheckLayouts(bootsteps.StartStopStep):
    """Refuses a worker whose release is older than a live database, with one sentence."""

    requires: ClassVar = {"celery.worker.components:Pool"}

    def include_if(self, worker: Any) -> bool:
        """Look before anything is consumed; a database that is down is waited for, as ever."""
        settings = worker.app.settings
        # Connections of its own: none of them may be there when the pool forks.
        cluster = Cluster(settings.database_url, application="matengine worker", lock_timeout=settings.lock_timeout)
        try:
            for database in live_databases(cluster):
                refuse_newer(cluster, database)
        except StorageUnavailable as error:
            log.warning("layouts are not known yet: database is down", error=error.message)
        except NewerDatabase as error:
            raise SystemExit(f"Error: {error.message}") from error
        finally:
            cluster.close()
        return False


class Present(bootsteps.StartStopStep):
    """Shows for the life of the worker that it is there, also while it has lost Redis."""

    requires: ClassVar = {"celery.worker.components:Pool"}

    def start(self, worker: Any) -> None:
        """Begin to be there; a database that is down now is tried again with every sweep."""
        app = worker.app
        app.presence = Presence(app.services, known_queues(app.amqp.queues.consume_from))
        with suppress(StorageUnavailable):
            app.presence.show()

    def stop(self, worker: Any) -> None:
        """Be there no more."""
        if worker.app.presence is not None:
            worker.app.presence.end()

    terminate = stop


class Sweeper(bootsteps.StartStopStep):
    """Looks for lost work when the worker starts, and every few seconds after, in its event loop."""

    requires: ClassVar = {"celery.worker.consumer.tasks:Tasks"}

    def __init__(self, consumer: Any, **_: Any) -> None:
        self._timer: Any = None
        self._rounds: Rounds | None = None

    def start(self, consumer: Any) -> None:
        """Sweep now, then by the clock."""
        app = consumer.app
        self._rounds = Rounds(app.services)
        self._sweep(app, at_start=True)
        self._timer = consumer.timer.call_repeatedly(app.settings.sweep_every, self._sweep, (app,))

    def stop(self, consumer: Any) -> None:
        """End the clock."""
        if self._timer is not None:
            self._timer.cancel()
        if self._rounds is not None:
            self._rounds.close()
        self._timer = self._rounds = None

    def _sweep(self, app: EngineCelery, at_start: bool = False) -> None:
        if self._rounds is None:
            return
        try:
            if app.presence is not None:
                app.presence.show()
            app.send(self._rounds(resend=0.0 if at_start else app.settings.resend))
        except StorageUnavailable as error:
            log.warning("sweep: database is down", error=error.message)


def _run(task: Task, database: str, unit: int) -> None:
    app: EngineCelery = task.app
    told = task.request
    trace.forget()
    with trace.serving(told.get(REQUEST_HEADER) or "", told.get(RUN_HEADER) or "", unit):
        app.send(run_unit(app.services, database, unit, f"{socket.gethostname()} {os.getpid()}"))


@shared_task(name="process:run_unit", bind=True)
def run_process_unit(self: Task, database: str, unit: int) -> None:
    """Do one unit of the ledger that is small: a look-up, a batch of an upload."""
    _run(self, database, unit)


@shared_task(name="workflow:run_unit", bind=True)
def run_workflow_unit(self: Task, database: str, unit: int) -> None:
    """Do one unit of the ledger that is long: a scan, a copy, an index, a publication."""
    _run(self, database, unit)


@signals.setup_logging.connect
def _write_json(**_: Any) -> None:
    """Keep Celery from setting up logs of its own: a worker and a beat write as the web does."""
    app = current_app._get_current_object()
    if isinstance(app, EngineCelery):
        configure(app.settings.log_level, app.settings.censor())


def create_celery(settings: Settings) -> EngineCelery:
    """The application of one process."""
    return EngineCelery(settings)
