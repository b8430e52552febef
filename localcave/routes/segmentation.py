"""The chunkedgraph's REST interface, version 1."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from flask import Blueprint, Response, current_app, jsonify, request

from localcave import times, wire
from localcave.errors import BadRequest, Unanswerable
from localcave.faults import FaultSwitches
from localcave.ids import Ids
from localcave.lineage import Lineage, delta
from localcave.queries import Queries, RootQuestion
from localcave.store import Loaded, Store

VERSION = "2.21.1"
TABLE = "/api/v1/table/<table>"

routes = Blueprint("segmentation", __name__, url_prefix="/segmentation")


@routes.get("/api/versions")
def versions() -> Response:
    return jsonify([0, 1])


@routes.get("/api/version")
def version() -> Response:
    return jsonify(VERSION)


@routes.get("/table/<table>/info")
@routes.get(f"{TABLE}/info")
def info(table: str) -> Response:
    return jsonify(_info(_loaded(table)))


@routes.post(f"{TABLE}/roots_binary")
def roots_binary(table: str) -> Response:
    ids = wire.binary_ids()
    return _binary(_roots(table, ids) if len(ids) else ids)


@routes.post(f"{TABLE}/roots")
def roots(table: str) -> Response:
    answer = _roots(table, wire.listed_ids("node_ids"))
    if "root_ids" in request.args.getlist("as_binary"):
        return _binary(answer)
    return jsonify({"root_ids": wire.ids_out(answer)})


@routes.get(f"{TABLE}/node/<int:node>/root")
def root(table: str, node: int) -> Response:
    question = RootQuestion(wire.moment(), wire.number("stop_layer"))
    return jsonify({"root_id": wire.ids_out([_queries(table).root(node, question)])[0]})


@routes.post(f"{TABLE}/is_latest_roots")
def is_latest_roots(table: str) -> Response:
    answer = _queries(table).is_latest(wire.listed_ids("node_ids"), wire.moment())
    return jsonify({"is_latest": answer.tolist()})


@routes.post(f"{TABLE}/root_timestamps")
def root_timestamps(table: str) -> Response:
    ids = wire.binary_ids() if wire.flag("is_binary") else wire.listed_ids("node_ids")
    queries = _queries(table)
    found = queries.latest_times(ids, wire.moment()) if wire.flag("latest") else queries.created(ids)
    return jsonify({"timestamp": [times.to_seconds(value) for value in found.tolist()]})


@routes.get(f"{TABLE}/delta_roots")
def delta_roots(table: str) -> Response:
    if not request.args.get("timestamp_past"):
        raise BadRequest("timestamp_past is missing")
    graph = _queries(table).graph
    future = wire.moment("timestamp_future")
    graph.note_answered(future)
    found = delta(graph.view(), wire.moment("timestamp_past"), future)
    return jsonify({"old_roots": wire.ids_out(found.old_roots), "new_roots": wire.ids_out(found.new_roots)})


@routes.post(f"{TABLE}/lineage_graph_multiple")
def lineage_graph_multiple(table: str) -> Response:
    return _lineage(table, wire.listed_ids("root_ids").tolist())


@routes.get(f"{TABLE}/root/<int:root_id>/lineage_graph")
def lineage_graph(table: str, root_id: int) -> Response:
    return _lineage(table, [root_id])


@routes.get(f"{TABLE}/past_id_mapping")
def past_id_mapping(table: str) -> Response:
    graph = _queries(table).graph
    ids = wire.listed_ids("root_ids").tolist()
    # timestamp_future has no effect in the real service either.
    return jsonify(Lineage(graph).past_ids(ids, wire.moment("timestamp_past", graph.birth_ms)))


@routes.get(f"{TABLE}/oldest_timestamp")
def oldest_timestamp(table: str) -> Response:
    oldest = times.to_datetime(_queries(table).oldest_ms())
    return jsonify({"iso": oldest.isoformat(sep=request.args.get("delimiter", " "), timespec="microseconds")})


def _loaded(table: str) -> Loaded:
    store: Store = current_app.extensions["localcave.store"]
    return store.table(table)


def _queries(table: str) -> Queries:
    return _loaded(table).queries


def _roots(table: str, ids: Ids) -> Ids:
    # The service takes any text in these two options for true.
    question = RootQuestion(
        wire.moment(),
        wire.number("stop_layer"),
        bool(request.args.get("assert_roots")),
        bool(request.args.get("fail_to_zero")),
    )
    return _spoiled(_queries(table).roots(ids, question))


def _spoiled(answer: Ids) -> Ids:
    faults: FaultSwitches = current_app.extensions["localcave.faults"]
    if not faults.concerns(request.path):
        return answer
    if faults.spoils("zero_roots"):
        answer = np.zeros_like(answer)
    return answer[:-1] if faults.spoils("wrong_length") else answer


def _lineage(table: str, roots: list[int]) -> Response:
    graph = _queries(table).graph
    past = wire.moment("timestamp_past", graph.birth_ms)
    return jsonify(Lineage(graph).graph(roots, past, wire.moment("timestamp_future")))


def _binary(ids: Ids) -> Response:
    return Response(ids.astype("<u8", copy=False).tobytes())


def _info(loaded: Loaded) -> dict[str, Any]:
    volume = loaded.world.folder / "segmentation"
    try:
        found = json.loads((volume / "info").read_text())
    except OSError as problem:
        raise Unanswerable(f"cannot read the segmentation's info: {problem}") from problem
    layout, about = loaded.graph.layout, loaded.world.about
    found.update(
        chunks_start_at_voxel_offset=True,
        data_dir=volume.as_uri(),
        graph={
            "chunk_size": [about["chunk"]] * 3,
            "bounding_box": about["shape"],
            "n_bits_for_layer_id": 8,
            "cv_mip": 0,
            "n_layers": layout.layers,
            "spatial_bit_masks": {str(layer): layout.spatial_bits(layer) for layer in range(1, layout.layers + 1)},
        },
        app={"supported_api_versions": [0, 1]},
        sharded_mesh=False,
        verify_mesh=False,
    )
    return found
