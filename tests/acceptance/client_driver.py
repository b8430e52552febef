"""Deeds of caveclient 8.2.1, one a call: `client_driver.py SERVER DATASTACK DEED ...` prints one line of JSON."""

from __future__ import annotations

import json
import sys

import numpy as np
from caveclient import CAVEclient


def roots(client: CAVEclient, version: str, target: str) -> dict[str, object]:
    """Save supervoxels and roots of both ends of every synapse of a version, by id."""
    client.materialize.version = int(version)
    rows = client.materialize.query_table("synapses").sort_values("id")
    columns = [f"{side}_pt_{kind}_id" for kind in ("supervoxel", "root") for side in ("pre", "post")]
    np.save(target, rows[columns].to_numpy(dtype=np.int64))
    return {"rows": len(rows)}


def everything(client: CAVEclient, version: str) -> dict[str, object]:
    """What a first session asks."""
    client.materialize.version = int(version)
    one = client.materialize.query_table("synapses", limit=1)
    root = int(one["pre_pt_root_id"].iloc[0])
    by_root = client.materialize.query_table("synapses", filter_equal_dict={"pre_pt_root_id": root})
    low, high = np.array(one["pre_pt_position"].iloc[0]) - 5, np.array(one["pre_pt_position"].iloc[0]) + 5
    boxed = client.materialize.query_table(
        "synapses", filter_spatial_dict={"pre_pt_position": [low.tolist(), high.tolist()]}
    )
    stamp = client.materialize.get_timestamp(int(version))
    supervoxels = one[["pre_pt_supervoxel_id", "post_pt_supervoxel_id"]].iloc[0].astype(np.uint64)
    graph = client.chunkedgraph.get_roots(supervoxels.to_numpy(), timestamp=stamp)
    return {
        "versions": [int(number) for number in client.materialize.get_versions()],
        "tables": client.materialize.get_tables(),
        "schema": client.materialize.get_table_metadata("synapses")["schema"],
        "count": int(client.materialize.get_annotation_count("synapses")),
        "timestamp": stamp.isoformat(),
        "roots": by_root["pre_pt_root_id"].nunique(),
        "boxed": len(boxed),
        "graph_agrees": [int(value) for value in graph] == [root, int(one["post_pt_root_id"].iloc[0])],
        "selected": list(client.materialize.query_table("synapses", select_columns=["id", "size"], limit=2).columns),
    }


def volume_tables(client: CAVEclient) -> list[str]:
    """Tables of the aligned volume, as the annotation service lists them."""
    return list(client.annotation.get_tables())


def main() -> None:
    """Do one deed."""
    server, datastack, deed, *words = sys.argv[1:]
    client = CAVEclient(datastack, server_address=server)
    print(json.dumps(globals()[deed](client, *words)))


if __name__ == "__main__":
    main()
