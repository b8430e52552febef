"""Merge two neurons, publish a version over REST, and see their synapses under one root id.

Usage: 3_follow_a_merge.py SERVER
"""

import sys
import time

import requests
from caveclient import CAVEclient

server = sys.argv[1]
client = CAVEclient("examples", server_address=server)
graph, materialize = client.chunkedgraph, client.materialize

# Two neurons that meet at a synapse of version 1: a proofreader finds that they are one.
before = materialize.query_table("synapses", materialization_version=1)
between = before[(before["pre_pt_root_id"] > 0) & (before["post_pt_root_id"] > 0)]
synapse = between[between["pre_pt_root_id"] != between["post_pt_root_id"]].iloc[0]
first, second = int(synapse["pre_pt_root_id"]), int(synapse["post_pt_root_id"])
resolution = materialize.get_table_metadata("synapses")["voxel_resolution"]
graph.do_merge(
    [synapse["pre_pt_supervoxel_id"], synapse["post_pt_supervoxel_id"]],
    [synapse["pre_pt_position"], synapse["post_pt_position"]],
    resolution,
)
merged = int(graph.get_root_id(int(synapse["pre_pt_supervoxel_id"])))
print(f"{first} and {second} are now {merged}")

# The complete workflow: new annotations, new roots, a new version. 202 means that it began.
runs = f"{server}/materialize/api/v3/runs"
started = requests.post(runs, json={"kind": "complete", "datastack": "examples", "expires_in_days": 0}, timeout=30)
started.raise_for_status()
run = started.json()
while run["status"] not in ("SUCCEEDED", "FAILED", "CANCELLED"):
    time.sleep(0.2)
    run = requests.get(f"{runs}/{run['id']}", timeout=30).json()
print(f"run {run['status']}, version {run['version']}")

# Version 1 stays as it was. In the new version the synapses of both neurons belong to the merged one.
after = materialize.query_table("synapses", materialization_version=run["version"])
old = before["pre_pt_root_id"].isin([first, second]).sum()
new = (after["pre_pt_root_id"] == merged).sum()
print(f"outputs of the two in version 1: {old}, of the one in version {run['version']}: {new}")
print(f"older ids of {merged}: {sorted(graph.get_original_roots(merged).tolist())}")
