"""Which failed runs were told of."""

from __future__ import annotations

from dataclasses import dataclass

from ..kernel.columns import Connection
from .sql import sql


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed run."""

    run_id: str
    kind: str
    datastack: str | None
    version: int | None
    error: str | None

    @property
    def text(self) -> str:
        """One line for people."""
        of = f" of {self.datastack}" if self.datastack else ""
        version = f", version {self.version}" if self.version is not None else ""
        return f"Run {self.run_id} ({self.kind}{of}{version}) failed: {self.error or 'no reason was kept'}"


def claim(connection: Connection) -> list[Failure]:
    """Failed runs of the last day that nobody was told of; they are the caller's to tell. Commits."""
    found = [Failure(*row) for row in connection.rows(sql("control", "claim_failures"))]
    connection.commit()
    return found


def give_back(connection: Connection, run_id: str) -> None:
    """Let another try to tell of it; commits."""
    connection.execute(sql("control", "give_back"), run_id)
    connection.commit()
