"""What a run will do, as frozen data: it is written to the ledger once and every unit reads it there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

import cattrs
from cattrs.errors import ForbiddenExtraKeysError

from ..kernel import moments
from .datastack import Datastack, Resolution
from .errors import NewerWork
from .ports import ColumnFile

T = TypeVar("T")


class RunKind(StrEnum):
    """The workflows a run can be of; the value is its word on the command line and in REST."""

    BULK_UPLOAD = "bulk-upload"
    INGEST = "ingest"
    UPDATE_ROOTS = "update-roots"
    FREEZE = "freeze"
    COMPLETE = "complete"
    UPDATE_DATABASE = "update-database"
    LOOKUP_SVID = "lookup-svid"
    SPARSE_MISSING_ROOTS = "sparse-missing-roots"
    DENSE_MISSING_ROOTS = "dense-missing-roots"
    REMOVE_BAD_ROOTS = "remove-bad-roots"
    INCREMENTAL = "incremental"
    RETIRE = "retire"
    DUMMY = "dummy"


class RunStatus(StrEnum):
    """Where a run stands. A failed run says why."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self is not RunStatus.RUNNING


class AnnotationSource(StrEnum):
    """Where an incremental run reads the annotations of tables that its base lacks."""

    STORAGE = "storage"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One live annotation table as a run sees it; `segmentation` is None for a schema without bound points."""

    name: str
    schema: str
    resolution: Resolution
    segmentation: str | None = None
    reference_table: str | None = None


@dataclass(frozen=True, slots=True)
class ColumnSource:
    """One file of a bulk upload and the columns that its values fill, in the order of the file's second axis."""

    file: ColumnFile
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """A bulk upload: files to columns of one new table.

    `created` stamps every row; `roots_as_of` is the moment at which supplied root ids were true, without which
    they are looked up instead.
    """

    table: TablePlan
    folder: str
    sources: tuple[ColumnSource, ...]
    rows: int
    description: str
    owner: str
    created: datetime
    roots_as_of: datetime | None = None
    back_dated: bool = False


@dataclass(frozen=True, slots=True)
class FreezePlan:
    """A version to be made, of the tables that existed at its moment. Its number is given when the run opens."""

    tables: tuple[TablePlan, ...]
    expires_on: datetime | None = None
    split: bool = False
    rebuilds: int | None = None
    """The version whose lost database is made anew, with equal digests; None where a new version is made."""


@dataclass(frozen=True, slots=True)
class IncrementalPlan:
    """What a version is made from: a base version, its database and its moment.

    `phases` are numbered as in 2019: 1 base tables, 2 new roots into `cellsegment`, 3 new tables, 4 expired roots.
    `threads` holds one number for each phase. `mends` is the version to be mended, where no new one is made.
    """

    base: int
    moment: datetime
    database: str
    phases: tuple[int, ...]
    threads: tuple[int, ...]
    mends: int | None = None
    strict: bool = True
    """Whether a base that is not true of its moment stops the run; without, the table is copied in full instead."""
    source: AnnotationSource = AnnotationSource.STORAGE


@dataclass(frozen=True, slots=True)
class UnitSpec:
    """One unit of work: an action's name, its arguments as JSON, and what a person reads in the list."""

    action: str
    args: dict[str, Any]
    label: str = ""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step: its name, and the units that are known beforehand. Earlier units may add more."""

    name: str
    units: tuple[UnitSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run. `steps` are done in order; the units of one step in any order, side by side.

    `late_keys`: frozen tables get their keys from whoever publishes them, and staged roots have none. Workers of an
    earlier release, which expect both from the units before, leave such a run alone; in a run that they planned, and
    may take up again after any unit, both are there as they expect them.
    """

    kind: RunKind
    steps: tuple[StepPlan, ...]
    as_of: datetime | None = None
    datastack: Datastack | None = None
    tables: tuple[TablePlan, ...] = ()
    upload: UploadPlan | None = None
    freeze: FreezePlan | None = None
    incremental: IncrementalPlan | None = None
    late_keys: bool = False

    @property
    def exclusive(self) -> bool:
        """Whether it may not run beside another such run on the same aligned volume."""
        return self.kind in (
            *(RunKind.UPDATE_ROOTS, RunKind.UPDATE_DATABASE, RunKind.FREEZE, RunKind.COMPLETE, RunKind.INCREMENTAL),
        )

    @property
    def moment(self) -> datetime:
        """`as_of` of a plan that has one."""
        if self.as_of is None:
            raise ValueError(f"a {self.kind} plan has no moment")
        return self.as_of

    @property
    def stack(self) -> Datastack:
        """`datastack` of a plan that has one."""
        if self.datastack is None:
            raise ValueError(f"a {self.kind} plan has no datastack")
        return self.datastack

    @property
    def version_plan(self) -> FreezePlan:
        """`freeze` of a plan that makes a version."""
        if self.freeze is None:
            raise ValueError(f"a {self.kind} plan makes no version")
        return self.freeze

    @property
    def base(self) -> IncrementalPlan:
        """`incremental` of a plan that has a base version."""
        if self.incremental is None:
            raise ValueError(f"a {self.kind} plan has no base version")
        return self.incremental

    @property
    def mends(self) -> int | None:
        """The version that is mended, None where none is."""
        return None if self.incremental is None else self.incremental.mends

    def table(self, name: str) -> TablePlan:
        """The table of that name. Raises LookupError."""
        for table in self.tables:
            if table.name == name:
                return table
        raise LookupError(name)


def _converter(*, lean: bool = False) -> cattrs.Converter:
    # What is not understood must not be done half: a worker that meets a field it does not know leaves the unit alone.
    converter = cattrs.Converter(forbid_extra_keys=True, omit_if_default=lean)
    converter.register_unstructure_hook(datetime, lambda moment: moments.require_aware(moment).isoformat())
    converter.register_structure_hook(datetime, lambda text, _: moments.parse(text))
    # One name or several, as a mapping of an upload has them: cattrs does not choose by itself.
    converter.register_structure_hook(
        str | Sequence[str], lambda names, _: names if isinstance(names, str) else [*names]
    )
    return converter


_JSON = _converter()
_LEAN = _converter(lean=True)


def to_json(value: object) -> dict[str, Any]:
    """A plan, or a unit's arguments, as a JSON object."""
    return dict(_JSON.unstructure(value))


def to_ledger(value: object) -> dict[str, Any]:
    """The same without the fields that have their defaults: what a release does not use, its predecessor can read."""
    return dict(_LEAN.unstructure(value))


def from_json(data: dict[str, Any], kind: type[T]) -> T:
    """The reverse of `to_json` and `to_ledger`. Raises NewerWork for fields that this release does not know."""
    try:
        return _JSON.structure(data, kind)
    except cattrs.BaseValidationError as error:
        if strange := sorted(_strange(error)):
            raise NewerWork(f"{kind.__name__}: this release does not know {', '.join(strange)}") from error
        raise


def _strange(error: BaseException) -> set[str]:
    """The unknown fields that a failure to read is about, however deep they lie."""
    if isinstance(error, ForbiddenExtraKeysError):
        return set(error.extra_fields)
    inner = error.exceptions if isinstance(error, cattrs.BaseValidationError) else ()
    return set().union(*map(_strange, inner))
