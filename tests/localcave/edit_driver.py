"""Run in the client's own environment: edit a graph through the real caveclient and print what came back.

The task is JSON on standard input: the datastack, the resolution, two points to merge (supervoxel and voxel
each), and two points on the merged object to split it at.
"""

import datetime
import json
import sys

import numpy as np
from caveclient import CAVEclient


def plain(value):
    """Return what JSON can hold."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    raise TypeError(value)


def main(server: str) -> None:
    task = json.load(sys.stdin)
    client = CAVEclient(task["datastack"], server_address=server, write_server_cache=False)
    graph, resolution = client.chunkedgraph, np.array(task["resolution"])
    ids = np.array(task["supervoxels"], np.uint64)
    merged = graph.do_merge(
        [task["first"]["id"], task["second"]["id"]],
        [np.array(task["first"]["voxel"]) + 0.5, np.array(task["second"]["voxel"]) + 0.5],
        resolution,
    )
    after_merge = graph.get_roots(ids).tolist()
    root = merged["new_root_ids"][0]
    source, sink = ((np.array(point["voxel"]) + 0.5) * resolution for point in task["split"])
    sides = [[source.tolist()], [sink.tolist()]]
    picked = [[task["split"][0]["id"]], [task["split"][1]["id"]]]
    preview = graph.preview_split(*sides, root, *picked, return_additional_ccs=True)
    operation, new_roots = graph.execute_split(*sides, root, *picked)
    after_split = graph.get_roots(ids).tolist()
    by_points = graph.get_roots([int(task["first"]["id"])]).tolist()[0]
    undone = graph.undo_operation(operation)
    after_undo = graph.get_roots(ids).tolist()
    current = int(undone["new_root_ids"][0])
    shape = np.array(task["shape"])
    whole, half = np.stack([shape * 0, shape], 1), np.stack([shape * 0, shape // 2], 1)
    birth = datetime.datetime.fromisoformat(task["birth"])
    log = graph.get_tabular_change_log([current])[current]
    unfiltered = graph.get_tabular_change_log([current], filtered=False)[current]
    everyone = graph.get_user_operations(0, birth)
    report = {
        "merged": merged,
        "after_merge": after_merge,
        "preview": preview,
        "split": [operation, new_roots],
        "after_split": after_split,
        "by_points": by_points,
        "undone": undone,
        "after_undo": after_undo,
        "current": current,
        "leaves": graph.get_leaves(current),
        "leaves_old": graph.get_leaves(root),
        "leaves_half": graph.get_leaves(current, bounds=half),
        "level2": graph.get_leaves(current, stop_layer=2),
        "many": {str(key): plain(value) for key, value in graph.get_leaves_many([current, root]).items()},
        "covering": graph.get_minimal_covering_nodes(graph.get_leaves(current).tolist()),
        "children": graph.get_children(current),
        "subgraph": [plain(part) for part in graph.get_subgraph(current, whole)],
        "l2_graph": graph.level2_chunk_graph(current),
        "l2_half": graph.level2_chunk_graph(current, bounds=half),
        "path": [plain(part) for part in graph.find_path(root, source, source)],
        "valid": graph.is_valid_nodes([current, root, 3 << 56 | 999_999_999], start_timestamp=birth),
        "latest": graph.is_latest_roots([current, root]),
        "log": json.loads(log.to_json()),
        "unfiltered": json.loads(unfiltered.to_json()),
        "change_log": graph.get_change_log(current),
        "merge_log": graph.get_merge_log(current),
        "details": graph.get_operation_details([merged["operation_id"], operation, undone["operation_id"]]),
        "mine": json.loads(graph.get_user_operations(0, birth).to_json()),
        "count": len(everyone),
        "suggested": graph.suggest_latest_roots(root),
        "latest_roots": graph.get_latest_roots(root),
        "originals": graph.get_original_roots(current, timestamp_past=birth),
        "lineage": graph.get_lineage_graph(root, as_nx_graph=True).number_of_nodes(),
        "past": graph.get_past_ids([current], timestamp_past=birth)["past_id_map"][current],
        "info": graph.segmentation_info["graph"],
        "resolution": graph.base_resolution,
        "path_to_volume": graph.cloudvolume_path,
    }
    print(json.dumps(report, default=plain))


if __name__ == "__main__":
    main(*sys.argv[1:])
