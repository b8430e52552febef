"""What a backend must be able to do, and what all of them do alike.

A session is one connection, kept open, and reopened after a fork or a break: a new connection per call costs
more than a small visit. Identifiers are double-quoted everywhere. Ids and moments stand in the SQL as literals, which
only this package writes.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from ..config import L1dbConfig
from ..errors import AlreadyStored, L1dbError, StoreBusy, StoreUnavailable
from ..tables import TableDef

Ids = npt.NDArray[np.int64]

NO_TABLE = "42P01"
STAGE = "l1_stage"
"""Temporary table of each connection: the objects of a visit on their way into the tables."""


def quoted(names: Sequence[str], prefix: str = "") -> str:
    """A list of quoted column names."""
    return ", ".join(f'{prefix}"{name}"' for name in names)


class Session(ABC):
    """One connection to one database, and the statements in which the backends differ."""

    driver_errors: ClassVar[tuple[type[Exception], ...]] = (sa.exc.SQLAlchemyError,)
    drop_temporary: ClassVar[str] = "DROP TABLE"

    def __init__(self, config: L1dbConfig) -> None:
        self.config = config
        self._handle: Any = None
        self._owner = 0
        self._inherited: list[Any] = []

    @contextmanager
    def transaction(self, *, writing: bool = False) -> Iterator[None]:
        """Everything in the body, or nothing of it. Driver errors come out as ours, in one line."""
        done = False
        try:
            self._open()
            self._begin(writing)
            yield
            self._commit()
            done = True
        except self.driver_errors as error:
            # Not chained: drivers repeat the whole statement, which here may hold ten thousand ids.
            raise self.explained(error) from None
        finally:
            if not done:
                self._abandon()

    def explained(self, error: Exception) -> L1dbError:
        """The error of ours that tells what a driver's error means."""
        state = self.state_of(error)
        text = str(error).partition("Query was:")[0].strip().splitlines()
        line = (text[0] if text else type(error).__name__)[:300]
        if state.startswith("23"):
            return AlreadyStored(f"nothing of this call was kept, the database refused a key: {line}")
        if state.startswith("40"):
            return StoreBusy(f"another transaction was in the way: {line}")
        return StoreUnavailable(f"database {self.address}: {line}")

    @property
    def address(self) -> str:
        """The database's address without its password."""
        return self.config.url.render_as_string(hide_password=True)

    def engine(self) -> sa.Engine:
        """A short-lived SQLAlchemy engine, for making and dropping tables."""
        return sa.create_engine(self.config.url, poolclass=sa.pool.NullPool)

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        if self._handle is None:
            return
        if self._owner == os.getpid():
            self._disconnect()
        else:
            self._inherited.append(self._handle)
        self._handle = None

    def _open(self) -> None:
        if self._handle is not None and self._owner == os.getpid():
            return
        # A connection that came through a fork is the parent's. To close it here, or to let it be collected,
        # which is the same, would end it there.
        if self._handle is not None:
            self._inherited.append(self._handle)
        self._handle, self._owner = self._connect(), os.getpid()

    def _abandon(self) -> None:
        """Roll back; a connection that cannot even do that is dropped."""
        if self._handle is None:
            return
        try:
            self._rollback()
        except self.driver_errors:
            with suppress(*self.driver_errors):
                self._disconnect()
            self._handle = None

    def chosen(self, schema: pa.Schema, prefix: str = "") -> str:
        """The select list for the columns of `schema`."""
        return quoted(schema.names, prefix)

    # What every backend defines, each within a transaction.

    @abstractmethod
    def execute(self, sql: str) -> None:
        """Run a statement that returns nothing."""

    @abstractmethod
    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Few rows, as Python values."""

    @abstractmethod
    def columns(self, sql: str, schema: pa.Schema) -> pa.Table:
        """Many rows, as columns of the given types."""

    @abstractmethod
    def append(self, table: str, columns: pa.Table) -> None:
        """Add many rows to a table."""

    @abstractmethod
    def stage(self, columns: pa.Table) -> None:
        """Put rows into the temporary table `l1_stage`, which had none."""

    @abstractmethod
    def columns_by_id(self, schema: pa.Schema, table: str, ids: Ids, condition: str) -> pa.Table:
        """The columns of `schema`, of all rows whose `diaObjectId` is among `ids` and that meet `condition`."""

    @abstractmethod
    def close_versions(self, end: str, last: bool) -> str:
        """The statement that ends, at `end`, the open versions of all staged objects, found through
        `DiaObjectLast` if `last`."""

    def upsert(self, names: Sequence[str]) -> str:
        """The statement that replaces rows of `DiaObjectLast` by the staged ones."""
        changes = ", ".join(f'"{name}" = EXCLUDED."{name}"' for name in names if name != "diaObjectId")
        # SQLite takes ON after SELECT for a join unless a WHERE stands between.
        return (
            f'INSERT INTO "DiaObjectLast" ({quoted(names)}) SELECT {quoted(names)} FROM {STAGE} WHERE true '
            f'ON CONFLICT ("diaObjectId") DO UPDATE SET {changes}'
        )

    def close_before(self, first: str) -> str:
        """The statement that ends open versions where the temporary table `first` says the next one starts."""
        return (
            f'UPDATE "DiaObject" SET "validityEnd" = f.start FROM {first} f '
            'WHERE "DiaObject"."diaObjectId" = f."diaObjectId" AND "DiaObject"."validityEnd" IS NULL'
        )

    def insert_if_new(self, table: str, values: str) -> str:
        """The statement that adds rows, except those whose key is there already."""
        return f'INSERT INTO "{table}" VALUES {values} ON CONFLICT DO NOTHING'

    @abstractmethod
    def plan(self, sql: str) -> list[str]:
        """The lines of the server's plan for a statement."""

    def prepare(self, table: TableDef, columns: pa.Table) -> None:  # noqa: B027 - most backends need nothing
        """Make room for rows, before the transaction that appends them."""

    def tidy(self) -> None:  # noqa: B027 - most backends need nothing
        """Housekeeping once a day, outside a transaction."""

    def lacks_table(self, error: Exception) -> bool:
        """Whether a driver's error means that there is no such table."""
        return self.state_of(error) == NO_TABLE

    def state_of(self, error: Exception) -> str:
        """The SQLSTATE of a driver's error, or an empty string."""
        return str(getattr(error, "sqlstate", None) or "")

    @abstractmethod
    def _connect(self) -> Any: ...

    @abstractmethod
    def _disconnect(self) -> None: ...

    @abstractmethod
    def _begin(self, writing: bool) -> None: ...

    @abstractmethod
    def _commit(self) -> None: ...

    @abstractmethod
    def _rollback(self) -> None: ...
