"""Figures of the whole service in Prometheus's terms: gauges, made anew for every scrape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from .. import __version__
from ..domain.errors import GatewayUnavailable
from ..domain.estimate import GB
from ..domain.figures import GraphTimes, LedgerFigures, Presence, SizeFigures
from ..domain.health import Finding, Light
from ..workflows.actions import ACTIONS
from ..workflows.celery_app import QUEUES
from .parts import Parts

_VALUES = {Light.GREEN: 1.0, Light.YELLOW: 0.5, Light.RED: 0.0}
Sample = tuple[Sequence[str], float]


def gauge(name: str, told: str, labels: Sequence[str], samples: Iterable[Sample]) -> Metric:
    """One gauge with its samples."""
    family = GaugeMetricFamily(f"matengine_{name}", told, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


@dataclass(frozen=True)
class Figures(Collector):
    """What is not this process's own. What cannot be asked now has no samples; the checks say why."""

    parts: Parts

    def collect(self) -> Iterator[Metric]:
        """All families; each asks for its part, no fresher than it must be."""
        yield InfoMetricFamily("matengine_build", "The release that answers", {"version": __version__})
        watcher = self.parts.watcher
        yield from _checks(watcher.service(), watcher.datastacks())
        yield from _presence(watcher.presence())
        yield from _lost(self.parts, watcher.presence())
        yield from _ledger(watcher.ledger())
        yield from _sizes(watcher.sizes())
        yield from _disk(watcher.free_bytes(), self.parts.settings.disk_reserve)
        yield from _broker(self.parts)
        yield _pools(self.parts)


def _checks(service: Iterable[Finding], datastacks: Iterable[Finding]) -> Iterator[Metric]:
    told = "1 green, 0.5 yellow, 0 red"
    yield gauge("check", f"Checks of the service: {told}", ("check",), _lights(service, of_datastacks=False))
    yield gauge(
        "datastack_check",
        f"Checks of each datastack: {told}",
        ("datastack", "check"),
        _lights(datastacks, of_datastacks=True),
    )


def _lights(findings: Iterable[Finding], *, of_datastacks: bool) -> Iterator[Sample]:
    lights: dict[tuple[str, ...], float] = {}
    for each in findings:
        key = (each.datastack, each.check) if of_datastacks else (each.check,)
        lights[key] = min(_VALUES[each.light], lights.get(key, 1.0))
    yield from lights.items()


def _presence(found: Presence | None) -> Iterator[Metric]:
    if found is None:
        return
    taken = _taken(found)
    yield gauge(
        "workers", "Living workers that take from a queue", ("queue",), (((name,), taken[name]) for name in QUEUES)
    )
    yield gauge("beats", "Beats that are there", (), [((), len(found.ticks))])
    ticks = [((), max(found.ticks))] if found.ticks else []
    yield gauge("beat_last_tick_timestamp_seconds", "When a beat last ticked", (), ticks)


def _taken(found: Presence) -> Counter[str]:
    return Counter(queue for worker in found.workers for queue in worker.queues)


def _lost(parts: Parts, found: Presence | None) -> Iterator[Metric]:
    """A worker greets before it is there, and takes leave before it goes: what is over has done neither."""
    if found is None:
        return
    try:
        known, taken = parts.services.broker.remembered(), _taken(found)
    except GatewayUnavailable:
        return
    lost = {queue: float(max(0, known.get(queue, 0) - taken[queue])) for queue in QUEUES}
    yield gauge("workers_lost", "Workers that went of late without taking leave", ("queue",), _by_name(lost))


def _ledger(found: LedgerFigures | None) -> Iterator[Metric]:
    if found is None:
        return
    units = (((each.workflow, each.datastack, each.state), each.units) for each in found.units)
    yield gauge("units", "Units of active runs", ("workflow", "datastack", "state"), units)
    ended = Counter[tuple[str, str]]()
    for each in found.ended:
        ended[each.workflow, each.status] += each.runs
    yield gauge("runs_ended_1d", "Runs that ended within a day", ("workflow", "status"), ended.items())
    yield from _queues(found)
    versions = [((each.datastack,), each.versions) for each in found.versions]
    yield gauge("versions", "Readable versions", ("datastack",), versions)
    ages = [((each.datastack,), each.age) for each in found.versions if each.age is not None]
    yield gauge("version_age_seconds", "Seconds since the moment of the newest version", ("datastack",), ages)


def _queues(found: LedgerFigures) -> Iterator[Metric]:
    depth, age = dict.fromkeys(QUEUES, 0), dict.fromkeys(QUEUES, 0.0)
    for each in found.waiting:
        # A worker of a newer release may have put an action into the ledger that this one does not know.
        queue = ACTIONS[each.action].queue if each.action in ACTIONS else QUEUES[0]
        depth[queue] += each.units
        age[queue] = max(age[queue], each.oldest)
    yield gauge("queue_ready_units", "Units that could be at work", ("queue",), _by_name(depth))
    yield gauge("queue_age_seconds", "Seconds for which the oldest of them has waited", ("queue",), _by_name(age))


def _by_name(values: Mapping[str, float]) -> Iterator[Sample]:
    return (((name,), value) for name, value in values.items())


def _sizes(found: SizeFigures | None) -> Iterator[Metric]:
    if found is None:
        return
    yield gauge("database_bytes", "Bytes of each database", ("database",), _by_name(found.databases))
    tables = found.tables.items()
    yield gauge("table_bytes", "Bytes of the tables that grow with history", ("database", "table"), tables)
    owed = (((each.database, each.table, each.reason), each.rows) for each in found.owed)
    yield gauge("unresolved_rows", "Ids that a table is owed", ("database", "table", "reason"), owed)


def _disk(free: int | None, reserve: float) -> Iterator[Metric]:
    yield gauge("reserve_bytes", "Bytes of the database's disk that must stay free", (), [((), reserve * GB)])
    samples = [] if free is None else [((), float(free))]
    yield gauge("free_bytes", "Free bytes of the database's disk", (), samples)


def _broker(parts: Parts) -> Iterator[Metric]:
    try:
        depths, times = parts.services.broker.depths(QUEUES), parts.services.broker.graph_times()
    except GatewayUnavailable:
        return
    yield gauge("queue_messages", "Messages that wait in Redis", ("queue",), _by_name(depths))
    yield _graph(times)


def _graph(times: Iterable[GraphTimes]) -> Metric:
    family = HistogramMetricFamily(
        "matengine_graph_request_seconds",
        "Calls of the chunkedgraph by all processes; they begin anew when Redis is emptied",
        labels=("outcome",),
    )
    for each in times:
        buckets = [(repr(edge), float(calls)) for edge, calls in each.below] + [("+Inf", float(each.calls))]
        family.add_metric((each.outcome,), buckets, each.seconds)
    return family


def _pools(parts: Parts) -> Metric:
    use = {**parts.services.cluster.pool_use(), **parts.pool.use()}
    samples = [((pool, state), float(n)) for pool, states in use.items() for state, n in states.items()]
    return gauge("pool_connections", "Connections of this process's pools", ("pool", "state"), samples)
