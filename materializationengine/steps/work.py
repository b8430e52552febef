"""What a unit of work is handed, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..config import Settings
from ..domain.plan import Plan, UnitSpec
from ..domain.ports import Annotations, ChunkedGraph, Folder, Segmentation
from ..kernel.columns import Connection
from ..storage.engines import Cluster


@dataclass(frozen=True, slots=True)
class Work:
    """One unit's surroundings.

    `connection` is the unit's transaction on the live database; the ledger closes the unit in that same transaction.
    Gateways are callables, so a unit that asks nobody opens nothing.
    """

    plan: Plan
    run_id: str
    token: int
    version: int | None
    connection: Connection
    cluster: Cluster
    settings: Settings
    graph: Callable[[], ChunkedGraph]
    segmentation: Callable[[], Segmentation]
    folder: Callable[[str], Folder]
    annotations: Callable[[], Annotations]


@dataclass(frozen=True, slots=True)
class Report:
    """Rows that a unit handled, other counts worth showing, and units that join the next step."""

    rows: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    spawned: tuple[UnitSpec, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        return {"rows": self.rows, **self.facts}
