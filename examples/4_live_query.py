"""Ask about any moment, without waiting for a version.

Usage: 4_live_query.py SERVER
"""

import datetime
import sys

from caveclient import CAVEclient

client = CAVEclient("examples", server_address=sys.argv[1])
graph, materialize = client.chunkedgraph, client.materialize
newest = max(materialize.get_versions())
rows = materialize.query_table("synapses", materialization_version=newest)

# Another merge, of which no version knows yet.
apart = rows[(rows["pre_pt_root_id"] > 0) & (rows["post_pt_root_id"] > 0)]
synapse = apart[apart["pre_pt_root_id"] != apart["post_pt_root_id"]].iloc[0]
before = datetime.datetime.now(datetime.UTC)
graph.do_merge(
    [synapse["pre_pt_supervoxel_id"], synapse["post_pt_supervoxel_id"]],
    [synapse["pre_pt_position"], synapse["post_pt_position"]],
    materialize.get_table_metadata("synapses")["voxel_resolution"],
)
merged = int(graph.get_root_id(int(synapse["pre_pt_supervoxel_id"])))
after = datetime.datetime.now(datetime.UTC)

frozen = materialize.query_table(
    "synapses", materialization_version=newest, filter_equal_dict={"pre_pt_root_id": merged}
)
live = materialize.live_live_query("synapses", after, filter_equal_dict={"synapses": {"pre_pt_root_id": merged}})
print(f"outputs of {merged}: {len(frozen)} in version {newest}, {len(live)} at {after:%H:%M:%S}")

# The same question about the moment before the merge finds the neuron as it was.
old = int(synapse["pre_pt_root_id"])
then = materialize.live_live_query("synapses", before, filter_equal_dict={"synapses": {"pre_pt_root_id": old}})
print(
    f"outputs of {old} just before: {len(then)}, of which {then['id'].isin(live['id']).sum()} are now the merged one's"
)
