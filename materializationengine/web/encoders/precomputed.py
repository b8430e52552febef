"""Annotations in Neuroglancer's binary form: little endian, geometry and properties first, then ids.

Source: github.com/google/neuroglancer, `src/datasource/precomputed/annotations.md`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...domain.precomputed import TRUTH, Collection, Extent, Level, Property

CONTENT_TYPE = "application/octet-stream"
MISSING_INTEGER = np.iinfo(np.int32).min
"""Stands for a missing whole number: the format has no word for it. A missing fraction is a NaN."""


def info(found: Collection, extent: Extent, levels: list[Level]) -> dict[str, Any]:
    """The collection's `info`; coordinates are voxels of the declared dimensions."""
    units = zip("xyz", found.resolution, strict=True)
    return {
        "@type": "neuroglancer_annotations_v1",
        "dimensions": {axis: [nanometers * 1e-9, "m"] for axis, nanometers in units},
        "lower_bound": list(extent.lower),
        "upper_bound": list(extent.upper),
        "annotation_type": "point" if len(found.ends) == 1 else "line",
        "properties": [_described(each) for each in found.properties],
        "relationships": [{"id": each.name, "key": each.name} for each in found.relationships],
        "by_id": {"key": "by_id"},
        "spatial": [
            {"key": each.key, "grid_shape": list(each.grid), "chunk_size": list(each.size), "limit": max(1, each.limit)}
            for each in levels
        ],
    }


def _described(each: Property) -> dict[str, Any]:
    told: dict[str, Any] = {"id": each.name, "type": each.kind}
    if each.labels:
        told |= {"enum_values": list(range(len(each.labels))), "enum_labels": list(each.labels)}
    return told


def many(found: Collection, number: int, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """The list form of `number` annotations: of all that is read only the ids are kept, which come last."""
    yield struct.pack("<Q", number)
    ids = []
    for batch in batches:
        yield records(found, batch)
        ids.append(_ids(batch, found.id.name))
    yield b"".join(ids)


def one(found: Collection, row: pa.RecordBatch) -> bytes:
    """The form of a single annotation, with the segments that it belongs to; background is none."""
    parts = [records(found, row)]
    for relationship in found.relationships:
        root = row[relationship.name][0].as_py()
        parts.append(struct.pack("<IQ", 1, root) if root else struct.pack("<I", 0))
    return b"".join(parts)


def records(found: Collection, batch: pa.RecordBatch) -> bytes:
    """Geometry and properties of each annotation, padded to four bytes."""
    made = np.zeros(batch.num_rows, _record(found))
    for number, (end, axis) in enumerate((end, axis) for end in found.ends for axis in "xyz"):
        made["geometry"][:, number] = batch[f"{end}_{axis}"].to_numpy(zero_copy_only=False)
    for number, each in enumerate(found.properties):
        made[f"value{number}"] = _values(each, batch[each.name])
    return made.tobytes()


def _record(found: Collection) -> np.dtype[Any]:
    fields: list[Any] = [("geometry", "<f4", (3 * len(found.ends),))]
    for number, each in enumerate(found.properties):
        fields.append((f"value{number}", np.dtype(each.kind).newbyteorder("<")))
    odd = -sum(each.size for each in found.properties) % 4
    return np.dtype([*fields, ("padding", "u1", (odd,))] if odd else fields)


def _values(each: Property, column: pa.Array) -> npt.NDArray[Any]:
    if each.kind == "uint32":
        # Label 0 is that of a missing text, which is found nowhere.
        places = pc.index_in(column.cast(pa.string()), pa.array(each.labels[1:], pa.string()))
        return np.asarray(pc.fill_null(places, -1).to_numpy(zero_copy_only=False) + 1)
    if each.kind == "uint8":
        return np.asarray(pc.fill_null(column.cast(pa.uint8()), TRUTH.index("missing")))
    if each.kind == "int32":
        return np.asarray(pc.fill_null(column, int(MISSING_INTEGER)))
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _ids(batch: pa.RecordBatch, name: str) -> bytes:
    return bytes(batch[name].to_numpy(zero_copy_only=False).astype("<u8").tobytes())
