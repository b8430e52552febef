"""The chunkedgraph's REST interface, version 1: what stands under nodes, and points to ids."""

from __future__ import annotations

from typing import Any

import numpy as np
from flask import Blueprint, Response

from localcave import wire
from localcave.errors import Absent, BadRequest
from localcave.queries import RootQuestion
from localcave.routes.segmentation import TABLE
from localcave.routes.tables import Asked, asked, needs

routes = Blueprint("nodes", __name__, url_prefix="/segmentation")


@routes.get(f"{TABLE}/node/<int:node>/leaves")
@needs("view", public=True)
def leaves(table: str, node: int) -> Response:
    target = asked(table)
    found = target.loaded.nodes.leaves(target.node(node), wire.bounds(), wire.number("stop_layer") or 1)
    return wire.reply({"leaf_ids": found})


@routes.post(f"{TABLE}/node/leaves_many")
@routes.post(f"{TABLE}/leaves_many")
@needs("view", public=True)
def leaves_many(table: str) -> Response:
    target, bounds, layer = asked(table), wire.bounds(), wire.number("stop_layer") or 1
    wanted = wire.listed_ids("node_ids").tolist()
    return wire.reply({str(node): target.loaded.nodes.leaves(node, bounds, layer) for node in wanted})


@routes.get(f"{TABLE}/node/<int:node>/children")
def children(table: str, node: int) -> Response:
    target = asked(table)
    return wire.reply({"children_ids": target.loaded.nodes.children(target.node(node))})


@routes.get(f"{TABLE}/node/<int:node>/subgraph")
def subgraph(table: str, node: int) -> Response:
    target = asked(table)
    found = target.loaded.nodes.subgraph(target.node(node), wire.bounds())
    return wire.reply({"nodes": found.nodes, "affinities": found.affinities, "areas": found.areas})


@routes.get(f"{TABLE}/node/<int:node>/lvl2_graph")
@needs("view", public=True)
def lvl2_graph(table: str, node: int) -> Response:
    target, bounds = asked(table), wire.bounds()
    answer = wire.reply({"edge_graph": target.loaded.nodes.second_layer(target.node(node), bounds)})
    answer.headers["Used-Bounds"] = str(bounds is not None)
    return answer


@routes.post(f"{TABLE}/minimal_covering_nodes")
@needs("view", public=True)
def minimal_covering_nodes(table: str) -> Response:
    target = asked(table)
    wanted = wire.binary_ids() if wire.flag("is_binary") else wire.listed_ids("node_ids")
    found = target.loaded.nodes.covering(wanted, target.moment())
    return wire.binary(found) if wire.flag("as_array") else wire.reply(found)


@routes.get(f"{TABLE}/l2_chunk_children/<int:chunk>")
def l2_chunk_children(table: str, chunk: int) -> Response:
    pairs = _chunk_children(asked(table), chunk)
    if wire.flag("as_array"):
        return wire.reply({"l2_chunk_children": pairs.ravel()})
    grouped = {str(node): pairs[pairs[:, 0] == node, 1] for node in np.unique(pairs[:, 0])}
    return wire.reply({"l2_chunk_children": grouped})


@routes.get(f"{TABLE}/l2_chunk_children_binary/<int:chunk>")
def l2_chunk_children_binary(table: str, chunk: int) -> Response:
    return wire.binary(_chunk_children(asked(table), chunk).ravel())


@routes.post(f"{TABLE}/supervoxel_lookup")
def supervoxel_lookup(table: str) -> Response:
    return wire.reply({"supervoxel_ids": _supervoxels(asked(table))})


@routes.post(f"{TABLE}/roots_from_coords")
def roots_from_coords(table: str) -> Response:
    target = asked(table)
    found = _supervoxels(target)
    question = RootQuestion(target.moment(), fail_to_zero=True)
    return wire.reply({"root_ids": target.loaded.queries.roots(found, question)})


@routes.post(f"{TABLE}/graph/find_path")
def find_path(table: str) -> Response:
    target, marks = asked(table), wire.marks(wire.document())
    if len(marks) != 2:
        raise BadRequest("a path needs two points")
    found = target.loaded.nodes.path(*marks)
    return wire.reply({"centroids_list": found.centers, "failed_l2_ids": [], "l2_path": found.nodes})


@routes.get(f"{TABLE}/node/<int:node>/contact_sites")
@routes.get(f"{TABLE}/node/contact_sites_pair/<int:node>/<int:other>")
def contact_sites(table: str, node: int, other: int = 0) -> Response:
    raise Absent("localcave does not compute contact sites")


meshing = Blueprint("meshing", __name__, url_prefix="/meshing")


@meshing.post(f"{TABLE}/remeshing")
@needs("edit")
def remeshing(table: str) -> Response:
    raise Absent("localcave has no meshes")


def _chunk_children(target: Asked, chunk: int) -> Any:
    return target.loaded.nodes.chunk_children(target.node(chunk), target.moment())


def _supervoxels(target: Asked) -> Any:
    """Return the supervoxel at each point of the body, {"coordinates": [[x, y, z], ..]} in voxels."""
    given = wire.json_object().get("coordinates")
    try:
        points = np.array(given, np.float64).reshape(-1, 3)
    except (TypeError, ValueError):
        raise BadRequest("the body needs `coordinates`, a list of [x, y, z] in voxels") from None
    if not (np.abs(points) < wire.FARTHEST_NM).all():
        raise BadRequest("coordinates must be finite")
    return target.loaded.volume.at(np.floor(points).astype(np.int64))
