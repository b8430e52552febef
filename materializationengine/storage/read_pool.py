"""Connections for reading frozen databases: kept between requests, closed when anything went wrong.

A new one costs 40 ms, a kept one nothing (m).
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from ..domain.errors import BadQuery, MaterializationError, QueryTimeout, StorageUnavailable
from ..kernel import trace
from ..kernel.columns import Connection, DriverError, sqlstate
from .engines import Cluster, signature, signing

BATCH_BYTES = 1 << 20
"""Size of a record batch: the first leaves within 30 ms, and a million rows take no longer than in larger ones (m)."""

PING_AFTER = 1.0
"""Seconds in the pool after which a connection is tried before use: its server may have gone."""

_SESSION = """
SELECT set_config('statement_timeout', $1, false), set_config('default_transaction_read_only', 'on', false),
       set_config('default_transaction_isolation', 'repeatable read', false),
       set_config('max_parallel_workers_per_gather', '0', false), set_config('synchronize_seqscans', 'off', false),
       set_config('plan_cache_mode', 'force_generic_plan', false),
       set_config('enable_indexscan', $2, false), set_config('enable_indexonlyscan', $2, false)
"""
"""Without index scans a table is read sequentially or through a bitmap, either way in the order of its rows."""

_TIMEOUT, _BAD_REGEX, _OUT_OF_RANGE = "57014", "2201B", "22003"
_SENTENCES = {
    "due to statement timeout": _TIMEOUT,
    "invalid regular expression": _BAD_REGEX,
    "integer out of range": _OUT_OF_RANGE,
    "value out of range": _OUT_OF_RANGE,
}
_UNAVAILABLE = ("08", "53", "57P")
"""SQLSTATE classes of a lost connection, of exhausted resources and of a server that goes down."""


_Kind = tuple[str, bool]
"""A database, and whether tables are read in the order of their rows."""


@dataclass(frozen=True, slots=True)
class _Idle:
    connection: Connection
    since: float


class Reading:
    """One transaction of the pool: every answer is of the same snapshot. Errors are told as the pool tells them.

    `name` is that under which pg_stat_activity shows whom the transaction serves, once a statement has set it.
    `signed` is a condition that does, and is always true; '' where one has done so.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection, self.name, self.signed = connection, name, signing(name)

    def value(self, sql: str, *params: object) -> object:
        """The one value of an answer of one row; None where there is no row."""
        try:
            found = self._connection.one(sql, *params)
        except DriverError as error:
            raise _told(error) from error
        return None if found is None else found[0]

    def table(self, sql: str) -> pa.Table:
        """A whole answer."""
        try:
            return self._connection.table(sql)
        except (DriverError, OSError) as error:
            raise _told(error) from error

    def prepared_table(self, name: str, sql: str, *arguments: str, types: Sequence[str] = ()) -> pa.Table:
        """A whole answer of few rows, of a statement that the connection plans once; `arguments` are literals."""
        try:
            return self._connection.prepared_table(name, sql, arguments, types)
        except (DriverError, OSError) as error:
            raise _told(error) from error

    def short_table(self, sql: str) -> pa.Table:
        """A whole answer that is known to be short, in one round trip instead of three."""
        try:
            return self._connection.short_table(sql)
        except (DriverError, OSError) as error:
            raise _told(error) from error

    def batches(self, sql: str) -> Generator[pa.RecordBatch]:
        """An answer, batch by batch."""
        try:
            with self._connection.batches(sql, batch_bytes=BATCH_BYTES) as reader:
                yield from reader
        except (DriverError, OSError) as error:
            raise _told(error) from error


class ReadPool:
    """Read-only connections: at most `idle` kept for each of the `databases` last read.

    There are two kinds: those that read a single table in the order of its rows, and those that may use any index.
    """

    def __init__(self, cluster: Cluster, timeout: float, *, idle: int = 8, databases: int = 16) -> None:
        self._cluster, self._timeout = cluster, f"{int(timeout * 1000)}ms"
        self._most_idle, self._most_databases = idle, databases
        self._idle: OrderedDict[_Kind, list[_Idle]] = OrderedDict()
        self._busy: Counter[str] = Counter()
        self._guard = threading.Lock()

    def use(self) -> dict[str, dict[str, int]]:
        """Connections of each database that is read: `busy` and `idle`."""
        with self._guard:
            idle = Counter[str]()
            for (database, _), kept in self._idle.items():
                idle[database] += len(kept)
            names = {*idle, *(name for name, busy in self._busy.items() if busy)}
            return {f"read {name}": {"busy": self._busy[name], "idle": idle[name]} for name in names}

    @contextmanager
    def connection(self, database: str, *, in_order: bool = False, sign: bool = True) -> Iterator[Connection]:
        """A connection in a read-only transaction. After any exception it is closed, which ends its statement too.

        `sign` lets it show whom it serves.
        """
        kind = (database, in_order)
        connection = self._take(kind, sign)
        self._count(database, 1)
        try:
            yield connection
            connection.rollback()
        except BaseException:
            connection.close()
            raise
        finally:
            self._count(database, -1)
        self._give(kind, connection)

    def _count(self, database: str, more: int) -> None:
        with self._guard:
            self._busy[database] += more

    @contextmanager
    def reading(self, database: str, *, in_order: bool = False) -> Iterator[Reading]:
        """A transaction; `in_order` reads a single table in the order of its rows."""
        with self.connection(database, in_order=in_order, sign=False) as connection:
            yield Reading(connection, trace.application_name(self._cluster.name("query")))

    def value(self, database: str, sql: str, *params: object) -> object:
        """The one value of an answer of one row. Raises BadQuery, QueryTimeout, StorageUnavailable."""
        try:
            with self.connection(database) as connection:
                return connection.value(sql, *params)
        except DriverError as error:
            raise _told(error) from error

    def close(self) -> None:
        """Close what is idle."""
        with self._guard:
            kept, self._idle = self._idle, OrderedDict()
        for idle in kept.values():
            _close(idle)

    def _take(self, kind: _Kind, sign: bool) -> Connection:
        greeting = signature(self._cluster.name("query")) if sign and trace.request_id() else ""
        while (idle := self._pop(kind)) is not None:
            fresh = time.monotonic() - idle.since < PING_AFTER
            if (fresh and not greeting) or _alive(idle.connection, greeting):
                return idle.connection
        return self._open(*kind)

    def _pop(self, kind: _Kind) -> _Idle | None:
        with self._guard:
            kept = self._idle.get(kind)
            return kept.pop() if kept else None

    def _open(self, database: str, in_order: bool) -> Connection:
        connection = self._cluster.connect(database, "query")
        try:
            connection.rows(_SESSION, self._timeout, "off" if in_order else "on")
            connection.commit()
        except DriverError as error:
            connection.close()
            raise _told(error) from error
        return connection

    def _give(self, kind: _Kind, connection: Connection) -> None:
        spare: list[_Idle] = [_Idle(connection, time.monotonic())]
        with self._guard:
            kept = self._idle.setdefault(kind, [])
            self._idle.move_to_end(kind)
            if len(kept) < self._most_idle:
                kept.append(spare.pop())
            if len(self._idle) > self._most_databases:
                spare += self._idle.popitem(last=False)[1]
        _close(spare)


def _close(idle: list[_Idle]) -> None:
    for each in idle:
        each.connection.close()


def _alive(connection: Connection, greeting: str) -> bool:
    """Whether the server is still there; the greeting says whom the connection serves now."""
    try:
        connection.execute(greeting or "SELECT 1")
    except DriverError:
        connection.close()
        return False
    return True


def _told(error: DriverError | OSError) -> MaterializationError | DriverError | OSError:
    """The driver's error in our words, or itself where it can only be a fault of ours."""
    state, text = _state(error), _sentence(str(error))
    if state == _TIMEOUT:
        return QueryTimeout()
    if state == _BAD_REGEX:
        return BadQuery(f"filter_regex_dict: {text}", field="filter_regex_dict")
    if state == _OUT_OF_RANGE:
        told = f"{text}: a value does not fit its column of the answer; positions have 32 bits in their resolution"
        return BadQuery(told, field="desired_resolution")
    if not state or state.startswith(_UNAVAILABLE):
        return StorageUnavailable(f"the database gave no answer: {text}")
    return error


def _state(error: BaseException) -> str:
    """The SQLSTATE. Errors in the middle of an answer come through Arrow, which keeps but the sentence of them."""
    return sqlstate(error) or next((state for words, state in _SENTENCES.items() if words in str(error)), "")


def _sentence(text: str) -> str:
    """The server's own sentence out of the driver's report."""
    for line in text.splitlines():
        if "ERROR:" in line:
            return line.partition("ERROR:")[2].strip()
    return " ".join(text.split())[:300]
