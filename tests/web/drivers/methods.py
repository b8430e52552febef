"""What the other drivers leave out: the small methods of the client, and the same questions in the older generation."""

from __future__ import annotations

import inspect
import json
import sys
import warnings

from caveclient import CAVEclient
from caveclient.materializationengine import MaterializationClient

warnings.simplefilter("ignore")
asked = json.load(sys.stdin)
stack, server = asked["datastack"], asked["server"]
client = CAVEclient(stack, server_address=server, auth_token="0" * 32)
new = client.materialize
old = MaterializationClient(server, stack, auth_client=client.auth, synapse_table="synapses", api_version=2)
new.version = old.version = 1


def told(frame):
    rows = json.loads(frame.to_json(orient="split"))
    return {"columns": rows["columns"], "data": rows["data"], "dtypes": [str(kind) for kind in frame.dtypes]}


def answers(materialize):
    """The questions that both generations know."""
    return {
        "tables": sorted(materialize.get_tables()),
        "count": materialize.get_annotation_count("synapses"),
        "resolution": list(materialize.get_table_metadata("synapses")["voxel_resolution"]),
        "versions": sorted(map(int, materialize.get_versions(expired=True))),
        "newest": int(materialize.most_recent_version()),
        "moment": materialize.get_timestamp().isoformat(),
        "record": materialize.get_version_metadata(1)["time_stamp"].isoformat(),
        "records": sorted(each["version"] for each in materialize.get_versions_metadata()),
        "table": told(materialize.query_table("synapses", limit=50)),
        "counted": told(materialize.query_table("synapses", get_counts=True)),
        "pre": told(materialize.synapse_query(pre_ids=asked["root"])),
        "join": told(
            materialize.join_query(
                [["cell_types", "target_id"], ["nuclei", "id"]], suffixes={"cell_types": "_a", "nuclei": "_b"}
            )
        ),
    }


public = [name for name, kind in inspect.getmembers(MaterializationClient) if not name.startswith("_")]
plain = inspect.getmembers(type(new).__mro__[1])
out = {
    "api": [int(new.api_version), int(old.api_version)],
    "new": answers(new),
    "old": answers(old),
    "homepage": new.homepage.data,
    "annotations": [new.neuroglancer_annotation_path("nuclei"), new.neuroglancer_annotation_info("nuclei")],
    "segments": [new.neuroglancer_segprop_path("nuclei"), new.neuroglancer_segprop_info("nuclei")],
    "methods": sorted(set(public) - {name for name, _ in plain}),
}
print(json.dumps(out))
