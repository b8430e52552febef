"""Record batches as an Arrow IPC stream, with the metadata from which pandas makes nullable columns (rest_api 2.4)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa

from ...domain.errors import BadQuery
from ...domain.query_plan import OutputKind, QueryPlan

CONTENT_TYPE = "data.arrow"
"""Not a media type at all, but the only one under which the client reads a frame."""


@dataclass(frozen=True, slots=True)
class _Form:
    """An Arrow type, and the names that pandas has for it."""

    type: pa.DataType
    pandas: str
    numpy: str
    metadata: dict[str, str] | None = None


_FORMS = {
    OutputKind.INT64: _Form(pa.int64(), "int64", "Int64"),
    OutputKind.INT32: _Form(pa.int32(), "int32", "Int32"),
    OutputKind.FLOAT32: _Form(pa.float32(), "float32", "Float32"),
    OutputKind.FLOAT64: _Form(pa.float64(), "float64", "Float64"),
    OutputKind.BOOLEAN: _Form(pa.bool_(), "bool", "boolean"),
    OutputKind.TEXT: _Form(pa.string(), "unicode", "string"),
    OutputKind.MOMENT: _Form(pa.timestamp("ns", "UTC"), "datetimetz", "datetime64[ns]", {"timezone": "UTC"}),
}
_COUNT = pa.schema([pa.field("count", pa.int64())])


def wire_schema(plan: QueryPlan) -> pa.Schema:
    """The schema of the answer, `pandas` metadata included."""
    return _COUNT if plan.count else _schema(tuple((output.name, output.kind) for output in plan.outputs))


@lru_cache(maxsize=256)
def _schema(outputs: tuple[tuple[str, OutputKind], ...]) -> pa.Schema:
    fields = [pa.field(name, _FORMS[kind].type) for name, kind in outputs]
    columns = [_column(name, _FORMS[kind]) for name, kind in outputs]
    pandas = {"index_columns": [], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
    return pa.schema(fields, metadata={"pandas": json.dumps(pandas)})


def _column(name: str, form: _Form) -> dict[str, object]:
    return {
        "name": name,
        "field_name": name,
        "pandas_type": form.pandas,
        "numpy_type": form.numpy,
        "metadata": form.metadata,
    }


def compression(accept_encoding: str) -> str | None:
    """The codec inside the stream: the client names what it reads in `Accept-Encoding`."""
    accepted = accept_encoding.lower()
    return next((codec for codec in ("lz4", "zstd") if codec in accepted), None)


def encode(schema: pa.Schema, batches: Iterable[pa.RecordBatch], codec: str | None) -> Iterator[bytes]:
    """The bytes of an Arrow IPC stream, as soon as each batch is there."""
    drain = Drain()
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_stream(drain, schema, options=options) as writer:
        # The schema leaves with the first batch, which is there already.
        for batch in batches:
            writer.write_batch(typed(schema, batch))
            yield from drain.taken()
    yield from drain.taken()


def typed(schema: pa.Schema, batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch in the types and under the names of the answer. Raises BadQuery for a moment that pandas cannot hold."""
    if batch.schema.equals(schema):
        # What the driver notes beside its fields does not travel: every writer tells its own schema.
        return batch
    if batch.schema.types == schema.types:
        return pa.RecordBatch.from_arrays(batch.columns, schema=schema)
    # PostgreSQL cuts a name after 63 bytes.
    named = batch.rename_columns(schema.names)
    try:
        columns = named.cast(_bare(schema)).columns
    except pa.ArrowInvalid as error:
        told = f"{error}: such a moment fits JSON rows only; leave its column out, or ask with return_pyarrow=false"
        raise BadQuery(told, field="select_columns") from error
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _bare(schema: pa.Schema) -> pa.Schema:
    return schema.remove_metadata()


class Drain:
    """A file that only holds what was written since it was emptied."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]
        self._parts.append(part)
        self._written += len(part)
        return len(part)

    def tell(self) -> int:
        """Bytes since the beginning, taken or not: Parquet's footer names places."""
        return self._written

    def close(self) -> None:
        """What is still held can be taken."""

    def flush(self) -> None:
        """Nothing is held back."""

    def writable(self) -> bool:
        return True

    def taken(self) -> Iterator[bytes]:
        """What was written since the last time."""
        parts, self._parts = self._parts, []
        if parts:
            yield b"".join(parts)
