"""Run in the client's own environment: ask a server through the real caveclient and print what came back."""

import datetime
import json
import sys

import numpy as np
from caveclient import CAVEclient


def main(server: str, supervoxels: str) -> None:
    client = CAVEclient("small", server_address=server, write_server_cache=False)
    graph = client.chunkedgraph
    ids = np.load(supervoxels)
    birth = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    late = birth + datetime.timedelta(days=61, microseconds=123456)
    roots = graph.get_roots(ids, timestamp=late)
    old, new = graph.get_delta_roots(birth, late)
    none = graph.get_delta_roots(late, late)
    current = int(roots[0])
    report = {
        "datastacks": client.info.get_datastacks(),
        "schemas": sorted(client.schema.get_schemas()),
        "synapse": sorted(client.schema.schema_definition("synapse")),
        "roots": roots.tolist(),
        "first_roots": graph.get_roots(ids, timestamp=birth).tolist(),
        "empty": len(graph.get_roots([], timestamp=late)),
        "level2": graph.get_root_id(int(ids[0]), timestamp=late, level2=True),
        "one_root": graph.get_root_id(int(ids[0]), timestamp=late),
        "is_latest": graph.is_latest_roots(np.unique(roots), timestamp=late).tolist(),
        "is_latest_old": graph.is_latest_roots(np.unique(old), timestamp=late).tolist(),
        "times": [moment.isoformat() for moment in graph.get_root_timestamps(np.unique(roots))],
        "latest_times": [t.isoformat() for t in graph.get_root_timestamps([current], latest=True, timestamp=late)],
        "old": np.unique(old).tolist(),
        "new": np.unique(new).tolist(),
        "no_delta": [len(part) for part in none],
        "past": graph.get_past_ids([current], timestamp_past=birth)["past_id_map"][current],
        "originals": graph.get_original_roots(current, timestamp_past=birth).tolist(),
        "latest_of_old": graph.get_latest_roots(int(old[0])).tolist(),
        "lineage": sorted(graph.get_lineage_graph(current, timestamp_past=birth, timestamp_future=late)),
        "nodes": graph.get_lineage_graph(current, timestamp_past=birth, as_nx_graph=True).number_of_nodes(),
        "oldest": graph.get_oldest_timestamp().isoformat(),
        "layers": graph.segmentation_info["graph"]["n_layers"],
        "user": client.auth.get_user_information([0])[0]["name"],
    }
    print(json.dumps(report, default=int))


if __name__ == "__main__":
    main(*sys.argv[1:])
