"""From a resolved question to a streamed answer, whatever it was asked of: a frozen version or a moment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

import pyarrow as pa
from flask import Response, request

from ..domain.errors import BadRequest, NotOffered
from ..domain.query import Question
from ..domain.query_order import fingerprint, with_cursor, write_cursor
from ..domain.query_plan import OutputKind, QueryPlan
from ..storage import first_rows, query_sql
from ..storage.read_pool import Reading
from .auth import user
from .encoders import arrow, formats
from .encoders.headers import NEXT_CURSOR, cap, describe
from .parts import parts

_SHORT = 4096
"""Rows of a first batch after which it is hardly the only one, so that nobody waits for the next."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question on its way: its plan, where and of which moment it is asked, and what share of the first table.

    `about` tells apart what is asked; a cursor fits only the question and thing that it was made for.
    """

    question: Question
    plan: QueryPlan
    database: str
    moment: datetime
    about: str
    percent: float | None = None


class Flow(Iterator[pa.RecordBatch]):
    """Batches and the transaction they come from, which ends with them or with the client, whichever goes first."""

    def __init__(self, batches: Generator[pa.RecordBatch]) -> None:
        self._batches, self._held, self._ended = batches, ExitStack(), False
        # Taken now: where the batches are sent there is no application to ask any more.
        self._count = parts().meters.rows.inc
        # The first one is fetched now, while an error can still be told; and one more where it may be the last.
        self._fetched = list(islice(batches, 1))
        if self._fetched and self._fetched[0].num_rows < _SHORT:
            self._fetched += islice(batches, 1)
        self.short = len(self._fetched) < 2 and all(batch.num_rows < _SHORT for batch in self._fetched)
        """Whether all of it is here already."""

    def holding(self, held: ExitStack) -> Flow:
        """The same, which now owns its transaction."""
        self._held = held
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._fetched:
            return self._sent(self._fetched.pop(0))
        try:
            return self._sent(next(self._batches))
        except StopIteration:
            self._ended = True
            raise

    def _sent(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self._count(batch.num_rows)
        return batch

    def close(self) -> None:
        """End the transaction; a statement that is still running is ended with its connection, not read to the end."""
        self._fetched = []
        self._batches.close()
        held = self._held.pop_all()
        if self._ended:
            held.close()
            return
        with suppress(GeneratorExit):
            held.__exit__(GeneratorExit, GeneratorExit(), None)


class Body(Iterator[bytes]):
    """Encoded bytes; their end ends the flow, and so does closing them, even where not a byte was asked for."""

    def __init__(self, parts: Iterator[bytes], flow: Flow) -> None:
        self._parts, self._flow = parts, flow

    def __next__(self) -> bytes:
        try:
            return next(self._parts)
        except StopIteration:
            self._flow.close()
            raise

    def close(self) -> None:
        """As the server calls it when the answer is sent or the client gone."""
        self._flow.close()


def media_type(options: Mapping[str, Any]) -> str:
    """The media type to answer with. Raises NotOffered."""
    if not options["return_pyarrow"]:
        return formats.JSON
    found = formats.chosen(request.accept_mimetypes)
    if found is None:
        raise NotOffered(f"Accept: there are {', '.join(formats.OFFERED)} and */*", field="Accept")
    return found


def answer(
    asked: Asked, options: Mapping[str, Any], prepare: Callable[[Reading, QueryPlan], QueryPlan] | None = None
) -> Response:
    """The rows asked for, streamed. `prepare` may finish the plan within the transaction that reads them.

    Raises BadQuery, QueryTimeout, TooManyQueries, StorageUnavailable, and what `prepare` raises.
    """
    kind = media_type(options)
    mark = fingerprint(asked.question, asked.about)
    plan = with_cursor(asked.plan, asked.question.after, mark)
    in_order = query_sql.single_scan(plan)
    with ExitStack() as stack:
        stack.callback(parts().slots.take(user().id).close)
        reading = stack.enter_context(parts().pool.reading(asked.database, in_order=in_order))
        if prepare is not None:
            plan = prepare(reading, plan)
        if formats.is_text(kind):
            plan = _exact(plan)
        page = _page(reading, asked, plan, mark)
        flow = Flow(_rows(reading, asked, page.plan)).holding(stack.pop_all())
    response = _stream(kind, page.plan, flow, options)
    if page.cursor:
        response.headers[NEXT_CURSOR] = page.cursor
    describe(response, page.plan)
    return cap(response, page.plan.limit or 0) if page.capped else response


def _rows(reading: Reading, asked: Asked, plan: QueryPlan) -> Generator[pa.RecordBatch]:
    """The rows. Where more come than were expected all of them are asked for anew, as a stream."""
    found = first_rows.whole(reading, plan, asked.moment, asked.percent)
    if found is not None:
        yield from found.to_batches()
        return
    yield from reading.batches(query_sql.select(plan, asked.moment, percent=asked.percent, also=reading.signed))


@dataclass(frozen=True, slots=True)
class _Page:
    plan: QueryPlan
    capped: bool = False
    cursor: str = ""


def _page(reading: Reading, asked: Asked, plan: QueryPlan, mark: str) -> _Page:
    """The plan under the service's own cap, and where the next page begins, as far as that must be known."""
    most = parts().settings.query_limit
    own = bool(most) and not plan.count and (plan.limit is None or plan.limit > most)
    if own:
        plan = replace(plan, limit=most)
    if plan.count or not plan.limit or not (own or asked.question.paged):
        return _Page(plan)
    keys = reading.value(query_sql.last_keys(plan, asked.moment, percent=asked.percent))
    if keys is None:
        return _Page(plan)
    return _Page(plan, own, write_cursor(mark, tuple(json.loads(str(keys)))))


def _exact(plan: QueryPlan) -> QueryPlan:
    """Texts hold doubles only, so there is nothing to gain by halving them."""
    outputs = (
        replace(output, kind=OutputKind.FLOAT64) if output.kind is OutputKind.FLOAT32 else output
        for output in plan.outputs
    )
    return replace(plan, outputs=tuple(outputs))


def _stream(kind: str, plan: QueryPlan, flow: Flow, options: Mapping[str, Any]) -> Response:
    accepted = request.headers.get("Accept-Encoding", "")
    codec = arrow.compression(accepted) if options["ipc_compress"] else None
    encoded = formats.encode(kind, arrow.wire_schema(plan), flow, codec)
    packed = formats.is_text(kind) and request.accept_encodings["gzip"] > 0
    encoded = formats.gzipped(encoded) if packed else encoded
    response = _short(encoded, flow) if flow.short else Response(Body(encoded, flow))
    response.content_type = kind
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Cache-Control"] = "no-cache"
    return response


def _short(encoded: Iterator[bytes], flow: Flow) -> Response:
    """A short answer goes out in one piece of known length: its reader does not wait for the transaction to end."""
    try:
        whole = b"".join(encoded)
    except BaseException:
        flow.close()
        raise
    response = Response(Body(iter([whole]), flow))
    response.content_length = len(whole)
    return response


def tag(*parts_of: object) -> str:
    """An entity tag of what an answer is made of."""
    accepted = [request.headers.get(name) for name in ("Accept", "Accept-Encoding")]
    return hashlib.sha256(repr((parts_of, accepted)).encode()).hexdigest()[:32]


def refuse_sampled_pages(question: Question) -> None:
    """Every page of a sample would be of another sample."""
    if question.sample is not None and question.paged:
        raise BadRequest("random_sample: pages need every row; leave out order_by and after", field="random_sample")
