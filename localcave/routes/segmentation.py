"""The chunkedgraph's REST interface, version 1: roots, moments and lineage."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
from flask import Blueprint, Response, current_app, jsonify, request

from localcave import times, wire
from localcave.errors import BadRequest, Unanswerable
from localcave.faults import FaultSwitches
from localcave.ids import Ids
from localcave.lineage import Lineage, delta
from localcave.loaded import Loaded
from localcave.queries import RootQuestion
from localcave.routes.tables import asked, needs

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
@needs("view", public=True)
def info(table: str) -> Response:
    return jsonify(_info(asked(table).loaded))


@routes.post(f"{TABLE}/roots_binary")
def roots_binary(table: str) -> Response:
    ids = wire.binary_ids()
    return wire.binary(_roots(table, ids) if len(ids) else ids)


@routes.post(f"{TABLE}/roots")
def roots(table: str) -> Response:
    answer = _roots(table, wire.listed_ids("node_ids"))
    if "root_ids" in request.args.getlist("as_binary"):
        return wire.binary(answer)
    return wire.reply({"root_ids": answer})


@routes.get(f"{TABLE}/node/<int:node>/root")
def root(table: str, node: int) -> Response:
    target = asked(table)
    question = RootQuestion(target.moment(), wire.number("stop_layer"))
    return wire.reply({"root_id": np.uint64(target.loaded.queries.root(target.node(node), question))})


@routes.post(f"{TABLE}/is_latest_roots")
def is_latest_roots(table: str) -> Response:
    target = asked(table)
    answer = target.loaded.queries.is_latest(wire.listed_ids("node_ids"), target.moment())
    return jsonify({"is_latest": answer.tolist()})


@routes.post(f"{TABLE}/root_timestamps")
def root_timestamps(table: str) -> Response:
    ids = wire.binary_ids() if wire.flag("is_binary") else wire.listed_ids("node_ids")
    target = asked(table)
    queries = target.loaded.queries
    found = queries.latest_times(ids, target.moment()) if wire.flag("latest") else queries.created(ids)
    return jsonify({"timestamp": [times.to_seconds(value) for value in found.tolist()]})


@routes.get(f"{TABLE}/delta_roots")
def delta_roots(table: str) -> Response:
    if not request.args.get("timestamp_past"):
        raise BadRequest("timestamp_past is missing")
    target = asked(table)
    future = target.moment("timestamp_future")
    found = delta(target.loaded.graph.answer_about(future), target.moment("timestamp_past"), future)
    return wire.reply({name: np.array(ids, np.uint64) for name, ids in asdict(found).items()})


@routes.get(f"{TABLE}/valid_nodes")
def valid_nodes(table: str) -> Response:
    ids = wire.binary_ids() if wire.flag("is_binary") else wire.listed_ids("node_ids")
    target = asked(table)
    start, end = target.moment("start_timestamp", 0), target.moment("end_timestamp")
    return wire.reply({"valid_roots": target.loaded.queries.valid(ids, start, end)})


@routes.post(f"{TABLE}/lineage_graph_multiple")
def lineage_graph_multiple(table: str) -> Response:
    return _lineage(table, wire.listed_ids("root_ids").tolist())


@routes.get(f"{TABLE}/root/<int:root_id>/lineage_graph")
def lineage_graph(table: str, root_id: int) -> Response:
    return _lineage(table, [asked(table).node(root_id)])


@routes.get(f"{TABLE}/past_id_mapping")
def past_id_mapping(table: str) -> Response:
    target = asked(table)
    graph = target.loaded.graph
    ids = wire.listed_ids("root_ids").tolist()
    # timestamp_future has no effect in the real service either.
    return wire.reply(Lineage(graph).past_ids(ids, target.moment("timestamp_past", graph.birth_ms)))


@routes.get(f"{TABLE}/oldest_timestamp")
@needs("view", public=True)
def oldest_timestamp(table: str) -> Response:
    return moment_reply(asked(table).loaded.queries.oldest_ms())


def moment_reply(moment_ms: int) -> Response:
    """Return a moment as the service tells single ones."""
    text = times.to_datetime(moment_ms).isoformat(
        sep=(request.args.get("delimiter") or " ")[0], timespec="microseconds"
    )
    return jsonify({"iso": text})


def _roots(table: str, ids: Ids) -> Ids:
    # The service takes any text in these two options for true.
    target = asked(table)
    question = RootQuestion(
        target.moment(),
        wire.number("stop_layer"),
        bool(request.args.get("assert_roots")),
        bool(request.args.get("fail_to_zero")),
    )
    return _spoiled(target.loaded.queries.roots(ids, question))


def _spoiled(answer: Ids) -> Ids:
    faults: FaultSwitches = current_app.extensions["localcave.faults"]
    if not faults.concerns(request.path):
        return answer
    if faults.spoils("zero_roots"):
        answer = np.zeros_like(answer)
    return answer[:-1] if faults.spoils("wrong_length") else answer


def _lineage(table: str, roots: list[int]) -> Response:
    target = asked(table)
    past = target.moment("timestamp_past", target.loaded.graph.birth_ms)
    return wire.reply(Lineage(target.loaded.graph).graph(roots, past, target.moment("timestamp_future")))


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
