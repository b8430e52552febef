"""Supervoxel ids at points of a precomputed volume, each storage chunk read once (outside_services.md 3, 4).

TensorStore ends a process (SIGABRT) that uses it after being forked from one that did. So a volume opens at its
first look-up, in the process that makes it, and a process that forks workers makes none.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import tensorstore as ts

from ..domain.datastack import Resolution
from ..domain.errors import BadRequest, GatewayUnavailable, VolumeUnreadable
from ..domain.ports import Ids, Points, Reason, SupervoxelLookup
from .chunkedgraph import VolumeSource
from .voxels import to_voxels

BYTES_IN_FLIGHT = 64 * 2**20
"""Decoded chunks held at once; at least one chunk, whatever its size."""

MissingChunks = Literal["unresolved", "background"]

RETRIES = {"max_retries": 4, "initial_delay": "200ms", "max_delay": "3s"}
"""Of one request to a store; TensorStore's own default tries for twenty minutes."""

_COMPRESSED_NAMES = (".gz", ".br")
_BUSY = ("[HTTP code 429]", "[HTTP code 502]", "[HTTP code 503]", "[HTTP code 504]", "CURL error")


class HasVolume(Protocol):
    """A chunkedgraph, as far as opening its volume needs it."""

    def data_source(self) -> VolumeSource:
        """The volume of the graph's supervoxels."""
        ...


def open_segmentation(
    source: str,
    graph: HasVolume | None = None,
    *,
    missing_chunks: MissingChunks = "unresolved",
    timeout: float = 120.0,
) -> TensorStoreSegmentation:
    """The volume of a datastack's `segmentation_source`.

    A `graphene://` source names a chunkedgraph rather than a volume, so its `graph` is asked for the volume.
    """
    if not source.startswith("graphene://"):
        return TensorStoreSegmentation(VolumeSource(source), missing_chunks=missing_chunks, timeout=timeout)
    if graph is None:
        raise BadRequest(f"{source} names a chunkedgraph; its volume is found by asking that graph")
    return TensorStoreSegmentation(graph.data_source(), missing_chunks=missing_chunks, timeout=timeout)


class TensorStoreSegmentation:
    """One scale of a precomputed volume of supervoxel ids.

    Parameters: `source` names the volume (`file://`, `http(s)://`, `gs://`, with or without `precomputed://`)
    and the scale; `missing_chunks="background"` counts points of an absent chunk as background, for volumes
    written without their empty chunks; `timeout`, seconds to wait for one group of chunks.
    """

    def __init__(
        self, source: VolumeSource, *, missing_chunks: MissingChunks = "unresolved", timeout: float = 120.0
    ) -> None:
        self.source = source
        self._missing = Reason.BACKGROUND if missing_chunks == "background" else Reason.MISSING_CHUNK
        self._timeout = timeout
        self._opened: tuple[int, _Volume] | None = None

    @property
    def resolution(self) -> Resolution:
        """Nanometers per voxel along x, y and z. Opens the volume."""
        return self._volume().resolution

    def supervoxels(self, points: Points, resolution: Resolution) -> SupervoxelLookup:
        """The supervoxel under each point.

        Parameters: `points`, shape (n, 3), in units of `resolution` nanometers. A point belongs to the voxel
        that holds it (floor). Outside the volume and on background the id is 0, with the reason told apart.
        Raises BadCoordinates, VolumeUnreadable, GatewayUnavailable.
        """
        volume = self._volume()
        voxels = to_voxels(points, resolution, volume.resolution)
        ids = np.zeros(len(voxels), dtype=np.int64)
        reason = np.full(len(voxels), Reason.OUTSIDE, dtype=np.uint8)
        inside = np.flatnonzero(((voxels >= volume.origin) & (voxels < volume.end)).all(axis=1))
        for group in volume.groups(inside, voxels):
            self._look_up(volume, group, voxels, ids, reason)
        return SupervoxelLookup(ids, reason)

    def _look_up(
        self, volume: _Volume, group: Sequence[Ids], voxels: Ids, ids: Ids, reason: npt.NDArray[np.uint8]
    ) -> None:
        for rows, labels in zip(group, volume.read([voxels[rows] for rows in group], self._timeout), strict=True):
            if labels is None:
                reason[rows] = self._missing
            else:
                ids[rows] = labels
                reason[rows] = np.where(labels == 0, Reason.BACKGROUND, Reason.FOUND)

    def _volume(self) -> _Volume:
        if self._opened is None:
            self._opened = (os.getpid(), _open(self.source, self._timeout))
        opened_by, volume = self._opened
        if opened_by != os.getpid():
            raise RuntimeError(
                f"the volume {self.source.path} was opened before this process was forked, and TensorStore does "
                "not survive that; make the first look-up after the fork"
            )
        return volume


@dataclass(frozen=True, slots=True)
class _Volume:
    """An open scale: `store` is indexed by voxel [x, y, z]; `origin` and `end` bound it, `end` exclusive."""

    source: VolumeSource
    store: Any
    key: str
    resolution: Resolution
    origin: Ids
    end: Ids
    chunk: Ids

    def groups(self, rows: Ids, voxels: Ids) -> Iterator[list[Ids]]:
        """Row numbers by storage chunk, in groups of as many chunks as may be in memory at once."""
        grid = (voxels[rows] - self.origin) // self.chunk
        extent = -(-(self.end - self.origin) // self.chunk)
        chunk_of = (grid[:, 0] * extent[1] + grid[:, 1]) * extent[2] + grid[:, 2]
        order = np.argsort(chunk_of, kind="stable")
        borders = np.flatnonzero(np.diff(chunk_of[order])) + 1
        by_chunk = iter(np.split(rows[order], borders)) if len(rows) else iter(())
        most = max(1, BYTES_IN_FLIGHT // int(self.chunk.prod() * self.store.dtype.numpy_dtype.itemsize))
        while group := list(itertools.islice(by_chunk, most)):
            yield group

    def read(self, chunks: Sequence[Ids], timeout: float) -> Iterator[Ids | None]:
        """The labels at the voxels of each chunk, None where the chunk is absent."""
        with ts.Batch() as batch:  # reads of one shard share its index
            reads = [self.store.vindex[v[:, 0], v[:, 1], v[:, 2]].read(batch=batch) for v in chunks]
        for voxels, future in zip(chunks, reads, strict=True):
            labels = self._labels(future, timeout)
            if labels is None:
                self._refuse_compressed_names(voxels[0], timeout)
            yield labels

    def _labels(self, future: Any, timeout: float) -> Ids | None:
        try:
            labels = future.result(timeout)
        except (ValueError, OSError) as error:
            if str(error).startswith("NOT_FOUND"):
                return None
            raise _unreadable(self.source, error) from error
        ids: Ids = labels.astype(np.int64, copy=False)
        if labels.dtype == np.uint64 and (ids < 0).any():
            raise VolumeUnreadable(f"the volume {self.source.path} holds ids of 2^63 and above")
        return ids

    def _refuse_compressed_names(self, voxel: Ids, timeout: float) -> None:
        """Refuse a chunk that is absent only by its name: CloudVolume adds `.gz` to those of local files."""
        low = self.origin + (voxel - self.origin) // self.chunk * self.chunk
        high = np.minimum(low + self.chunk, self.end)
        name = "_".join(f"{a}-{b}" for a, b in zip(low.tolist(), high.tolist(), strict=True))
        for suffix in _COMPRESSED_NAMES:
            found = self.store.kvstore.read(f"{self.key}/{name}{suffix}")
            if _settled(self.source, found, timeout).state == "value":
                raise VolumeUnreadable(
                    f"the chunks of {self.source.path} are named with {suffix}, as CloudVolume names local files, "
                    "which cannot be read; write them again without compressed names (compress=False)"
                )


def _open(source: VolumeSource, timeout: float) -> _Volume:
    store = _settled(source, ts.open(_spec(source), open=True, read=True), timeout)
    if store.dtype.numpy_dtype.kind not in "iu" or store.domain[3].size != 1:
        raise VolumeUnreadable(
            f"the volume {source.path} holds {store.domain[3].size} x {store.dtype.name} a voxel; "
            "a segmentation holds one whole number"
        )
    spec = store.spec().to_json()
    chunk = np.array(store.chunk_layout.read_chunk.shape[:3], dtype=np.int64)
    volume = _Volume(
        source=source,
        store=store[..., 0],
        key=spec["scale_metadata"]["key"],
        resolution=tuple(spec["scale_metadata"]["resolution"]),
        origin=np.array(store.domain.inclusive_min[:3], dtype=np.int64),
        end=np.array(store.domain.exclusive_max[:3], dtype=np.int64),
        chunk=chunk,
    )
    center = (volume.origin + volume.end) // 2
    list(volume.read([center[None, :]], timeout))  # what can't be read shows here rather than in the middle of a run
    return volume


def _spec(source: VolumeSource) -> dict[str, Any]:
    return {
        "driver": "neuroglancer_precomputed",
        "kvstore": _kvstore(source.path),
        "scale_index": source.mip,
        # Without this an absent chunk reads as zeros, and nobody would know.
        "fill_missing_data_reads": False,
        "context": {
            # Each chunk is read once, so a cache only costs: 1 GB and eleven times the time, measured.
            "cache_pool": {"total_bytes_limit": 0},
            "http_request_retries": RETRIES,
            "gcs_request_retries": RETRIES,
        },
    }


def _kvstore(path: str) -> dict[str, Any] | str:
    """TensorStore's name of a place. A local path is taken as it stands, where a URL would decode its %."""
    bare = path.removeprefix("precomputed://").removesuffix("|neuroglancer-precomputed:").rstrip("/")
    if bare.startswith(("file://", "/")):
        return {"driver": "file", "path": bare.removeprefix("file://") + "/"}
    if bare.startswith(("http://", "https://", "gs://")):
        return bare + "/"
    raise VolumeUnreadable(f"the volume {path} is not at file://, http(s):// or gs://")


def _settled(source: VolumeSource, future: Any, timeout: float) -> Any:
    try:
        return future.result(timeout)
    except (ValueError, OSError) as error:
        raise _unreadable(source, error) from error


def _unreadable(source: VolumeSource, error: Exception) -> VolumeUnreadable | GatewayUnavailable:
    """TensorStore tells its errors apart by text alone: the status code first, an HTTP code in brackets."""
    text = str(error).partition(" [tensorstore_spec=")[0]
    if isinstance(error, TimeoutError) or any(sign in text for sign in _BUSY):
        return GatewayUnavailable(f"the store of the volume {source.path} does not answer: {text or 'timeout'}")
    return VolumeUnreadable(f"the volume {source.path} (mip {source.mip}) cannot be read: {text}")
