"""What a door asks for, before it is planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ..domain.datastack import Resolution
from ..domain.plan import AnnotationSource, RunKind


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """A bulk upload as a person describes it. `mapping`: file name to one column, or to several in order."""

    table: str
    schema: str
    path: str
    mapping: Mapping[str, str | Sequence[str]]
    created: datetime | None = None
    roots_as_of: datetime | None = None
    resolution: Resolution | None = None
    description: str = ""
    reference_table: str | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run as a door asks for it.

    `as_of` is the moment that a version is true of; without one it is now less the margin of the settings.
    `annotation_ids` narrows an ingest or a look-up of supervoxels to these rows of its table.
    `base_version`, `mends`, `phases` and `threads` (one number for each phase) belong to an incremental run.
    `rebuilds` is the version whose lost database a freeze makes anew.
    `request_id` is found in logs, statements and calls of everything that the run does (default: that of the
    request being served, else a new one).
    `keep` newest versions of a datastack survive a retirement (default: the settings').
    """

    kind: RunKind
    datastack: str | None = None
    as_of: datetime | None = None
    table: str | None = None
    upload: UploadRequest | None = None
    expires_in_days: int | None = None
    split: bool = False
    everything: bool = False
    annotation_ids: Sequence[int] | None = None
    bad_roots: Sequence[int] = ()
    keep: int | None = None
    seconds: Sequence[float] = field(default=(0.1, 0.1, 0.1))
    requested_by: str = "0"
    request_id: str = ""
    base_version: int | None = None
    mends: int | None = None
    phases: Sequence[int] | None = None
    threads: Sequence[int] | None = None
    annotation_source: AnnotationSource = AnnotationSource.STORAGE
    rebuilds: int | None = None
