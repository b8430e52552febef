"""The chunkedgraph over HTTP: roots of supervoxels at a moment, and what edits replaced.

Its addresses, answers and odd rules are those of outside_services.md 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from ..domain.errors import GatewayAnswer, GatewayRefused, GatewayUnavailable
from ..domain.ports import LAYER_SHIFT, Ids, RootChanges, RootLookup
from ..kernel.moments import parse, require_aware
from .http import HttpService, Token

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class VolumeSource:
    """Where the supervoxels of a graph are stored: a precomputed volume and the scale in it."""

    path: str
    mip: int = 0


@dataclass(frozen=True, slots=True)
class PastIds:
    """`past[root]`: the roots it came from. `future[past root]`: the one root it became, if there is one."""

    past: Mapping[int, tuple[int, ...]]
    future: Mapping[int, int]


def _at_once() -> None:
    """No limit: a request goes out at once."""


def timestamp_text(moment: datetime) -> str:
    """A moment as the graph reads it: Unix seconds with six decimals, floored to the graph's millisecond.

    Built from whole numbers, so that no moment moves by a rounding.
    """
    milliseconds = (require_aware(moment) - _EPOCH) // _MILLISECOND
    sign = "-" if milliseconds < 0 else ""
    seconds, rest = divmod(abs(milliseconds), 1000)
    return f"{sign}{seconds}.{rest:03d}000"


class HttpChunkedGraph:
    """One table of a chunkedgraph server. Keep one per table and process: the table's `info` is asked once.

    Parameters: `batch` is the number of supervoxels in one request; `timeout`, seconds a request may wait;
    `throttle` is called before each request and returns when it may go out; `observe` is told of each
    call, as `HttpService` tells it.
    All methods raise GatewayUnavailable, GatewayRefused, or GatewayAnswer where the answer cannot be right.
    """

    def __init__(
        self,
        server: str,
        table: str,
        token: Token = None,
        *,
        batch: int = 100_000,
        timeout: float = 120.0,
        retries: int = 3,
        backoff: float = 0.3,
        throttle: Callable[[], None] | None = None,
        observe: Callable[[str, float], None] | None = None,
    ) -> None:
        self.table = table
        self._throttle = throttle or _at_once
        self._batch = batch
        self._service = HttpService(
            "chunkedgraph", server, token, timeout=timeout, retries=retries, backoff=backoff, observe=observe
        )
        self._table_path = f"/table/{quote(table, safe='')}"
        self._info: Mapping[str, Any] | None = None

    # The port `ChunkedGraph`

    def top_layer(self) -> int:
        """The layer of root ids."""
        layers = self._graph_info().get("n_layers")
        if not isinstance(layers, int) or not 2 <= layers <= 255:
            raise GatewayAnswer(
                f"chunkedgraph table {self.table}: its info names no usable graph.n_layers ({layers!r})"
            )
        return layers

    def roots(self, supervoxels: Ids, at: datetime) -> RootLookup:
        """The root of each supervoxel at a moment, asked once per distinct supervoxel in sorted batches.

        An answer counts only if it is of the top layer: for ids it doesn't know, the server may say 0 or hand
        the id back (outside_services.md 1.4). For the same reason an id that is a root already is not asked.
        """
        top = self.top_layer()
        distinct, inverse = np.unique(_int64(supervoxels), return_inverse=True)
        ask = (distinct != 0) & (_layers(distinct) < top)
        found = np.zeros(distinct.shape, dtype=np.int64)
        found[ask] = self._root_batches(distinct[ask], at)
        genuine = _layers(found) == top
        resolved = genuine | (distinct == 0)
        roots = np.where(genuine, found, 0)
        return RootLookup(roots[inverse], resolved[inverse])

    def expired_roots(self, since: datetime, until: datetime) -> Ids:
        """Sorted distinct roots that edits logged in [since, until] replaced.

        The log is written a little after the edit it tells of, so windows must overlap by minutes.
        """
        return self.root_changes(since, until).replaced

    def root_changes(self, since: datetime, until: datetime) -> RootChanges:
        """Sorted distinct roots that edits logged in [since, until] replaced, and those that they made."""
        window = {"timestamp_past": timestamp_text(since), "timestamp_future": timestamp_text(until)}
        answer = self._v1_json("GET", "/delta_roots", params=window)
        return RootChanges(np.unique(self._ids(answer, "old_roots")), np.unique(self._ids(answer, "new_roots")))

    def relatives(self, roots: Ids, since: datetime, until: datetime) -> Ids:
        """Ancestors back to the roots that stood at `since`, and descendants up to `until`; sorted and distinct."""
        answer = self._of_known_ids(
            "POST",
            "/lineage_graph_multiple",
            params={"timestamp_past": timestamp_text(since), "timestamp_future": timestamp_text(until)},
            payload={"root_ids": _int64(roots).tolist()},
        )
        nodes = self._list(answer, "nodes", (dict,))
        related = self._ids({"id": [node.get("id") for node in nodes]}, "id")
        return np.unique(np.concatenate([_int64(roots), related]))

    # Further questions

    def is_latest(self, roots: Ids, at: datetime) -> npt.NDArray[np.bool_]:
        """Whether each id is a root that no edit before `at` replaced.

        At an edit's own millisecond the old root still counts, where `roots` gives the new one.
        """
        parts = [np.zeros(0, dtype=np.bool_)]
        for some in self._batches(_int64(roots)):
            answer = self._v1_json(
                "POST",
                "/is_latest_roots",
                params={"timestamp": timestamp_text(at)},
                payload={"node_ids": some.tolist()},
            )
            parts.append(np.array(self._list(answer, "is_latest", (bool,), len(some)), dtype=np.bool_))
        return np.concatenate(parts)

    def root_times(self, roots: Ids) -> tuple[datetime, ...]:
        """When each root came to be. Raises GatewayRefused if the graph doesn't know one of them."""
        times: list[datetime] = []
        for some in self._batches(_int64(roots)):
            answer = self._of_known_ids("POST", "/root_timestamps", payload={"node_ids": some.tolist()})
            seconds = self._list(answer, "timestamp", (int, float), len(some))
            times.extend(_EPOCH + timedelta(milliseconds=round(value * 1000)) for value in seconds)
        return tuple(times)

    def past_ids(self, roots: Ids, past: datetime, future: datetime) -> PastIds:
        """The ancestors that each root had at `past`. Raises GatewayRefused for an id that is no root."""
        answer = self._of_known_ids(
            "GET",
            "/past_id_mapping",
            params={"timestamp_past": timestamp_text(past), "timestamp_future": timestamp_text(future)},
            payload={"root_ids": _int64(roots).tolist()},
        )
        try:
            before = {int(root): tuple(map(int, ids)) for root, ids in answer["past_id_map"].items()}
            after = {int(root): int(later) for root, later in answer["future_id_map"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._wrong("past_id_mapping", "past_id_map and future_id_map") from error
        return PastIds(before, after)

    def oldest(self) -> datetime | None:
        """Half a second before the first edit, or None if the graph can tell of none."""
        try:
            answer = self._v1_json("GET", "/oldest_timestamp")
        except GatewayUnavailable as error:
            if error.details.get("status") == 500:  # what the server says of a graph without operations
                return None
            raise
        try:
            return parse(answer["iso"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._wrong("oldest_timestamp", "an ISO moment") from error

    def data_source(self) -> VolumeSource:
        """The volume of this graph's supervoxels, named by its info's `data_dir` and `graph.cv_mip`."""
        path = self._table_info().get("data_dir")
        mip = self._graph_info().get("cv_mip", 0)
        if not isinstance(path, str) or not path or not isinstance(mip, int):
            raise GatewayAnswer(f"chunkedgraph table {self.table}: its info names no data_dir and graph.cv_mip")
        return VolumeSource(path, mip)

    # Wire

    def _root_batches(self, supervoxels: Ids, at: datetime) -> Ids:
        parts = [np.zeros(0, dtype=np.int64)]
        parts.extend(self._root_batch(some, at) for some in self._batches(supervoxels))
        return np.concatenate(parts)

    def _root_batch(self, supervoxels: Ids, at: datetime) -> Ids:
        self._throttle()
        response = self._service.call(
            "POST",
            self._v1("/roots_binary"),
            params={"timestamp": timestamp_text(at)},
            body=supervoxels.astype("<i8", copy=False).tobytes(),
            # Ids hardly compress, and the server spends a second a million on trying.
            headers={"Accept-Encoding": "identity", "Content-Type": "application/octet-stream"},
        )
        if len(response.content) != 8 * len(supervoxels):
            raise GatewayAnswer(
                f"chunkedgraph table {self.table}: asked for {len(supervoxels)} roots, "
                f"got {len(response.content)} bytes instead of {8 * len(supervoxels)}"
            )
        return np.frombuffer(response.content, dtype="<i8").astype(np.int64, copy=False)

    def _batches(self, ids: Ids) -> Iterator[Ids]:
        for start in range(0, len(ids), self._batch):
            yield ids[start : start + self._batch]

    def _of_known_ids(self, method: str, path: str, **kwargs: Any) -> Any:
        """A call that the server answers with 500 when it doesn't know one of the ids."""
        try:
            return self._v1_json(method, path, **kwargs)
        except GatewayUnavailable as error:
            if error.details.get("status") != 500:
                raise
            raise GatewayRefused(f"{error.message}; it may not know one of the ids", status=500) from error

    def _v1(self, path: str) -> str:
        return f"/segmentation/api/v1{self._table_path}{path}"

    def _v1_json(self, method: str, path: str, **kwargs: Any) -> Any:
        self._throttle()
        return self._service.json(method, self._v1(path), **kwargs)

    def _table_info(self) -> Mapping[str, Any]:
        if self._info is None:
            info = self._service.json("GET", f"/segmentation{self._table_path}/info")
            if not isinstance(info, dict):
                raise self._wrong("info", "an object")
            self._info = info
        return self._info

    def _graph_info(self) -> Mapping[str, Any]:
        graph = self._table_info().get("graph")
        if not isinstance(graph, dict):
            raise self._wrong("info", "an object `graph`")
        return graph

    def _list(self, answer: Any, key: str, kinds: tuple[type, ...], length: int | None = None) -> Sequence[Any]:
        values = answer.get(key) if isinstance(answer, dict) else None
        if not isinstance(values, list) or not all(type(value) in kinds for value in values):
            raise self._wrong(key, f"a list of {kinds[0].__name__}")
        if length is not None and len(values) != length:
            raise self._wrong(key, f"a list of {length} values, but of {len(values)}")
        return values

    def _ids(self, answer: Any, key: str) -> Ids:
        try:  # a number with a point or an exponent has lost digits already, so only whole ones count
            return np.array(self._list(answer, key, (int,)), dtype=np.int64)
        except OverflowError as error:
            raise self._wrong(key, "ids below 2^63") from error

    def _wrong(self, what: str, wanted: str) -> GatewayAnswer:
        return GatewayAnswer(f"chunkedgraph table {self.table}: its answer to {what} is not {wanted}")


def _layers(ids: Ids) -> npt.NDArray[np.int64]:
    return np.right_shift(ids, LAYER_SHIFT) & 0xFF


def _int64(ids: Ids) -> Ids:
    """`ids` as a flat int64 array; anything else would already have cost digits, so it raises TypeError."""
    if ids.dtype != np.int64 or ids.ndim != 1:
        raise TypeError(f"ids must be a flat int64 array, not {ids.dtype} of shape {ids.shape}")
    return ids
