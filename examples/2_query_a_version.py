"""Ask a version: how much there is, filters, a box in space, and one neuron's partners.

Usage: 2_query_a_version.py SERVER
"""

import sys

from caveclient import CAVEclient

client = CAVEclient("examples", server_address=sys.argv[1], version=1)
materialize = client.materialize
print(f"version 1 is true of {materialize.get_timestamp(1):%Y-%m-%d %H:%M} UTC")
print(f"tables: {materialize.get_tables()}, synapses: {materialize.get_annotation_count('synapses')}")

# Root id 0 is the background: a point that lies in no neuron.
synapses = materialize.query_table("synapses", filter_greater_dict={"pre_pt_root_id": 0, "post_pt_root_id": 0})
neuron = int(synapses["pre_pt_root_id"].mode()[0])
print(f"{len(synapses)} synapses connect two neurons; neuron {neuron} makes the most of them")

# Several filters hold together. Nothing is dropped silently: without `limit` all rows come.
strong = materialize.query_table(
    "synapses",
    filter_equal_dict={"pre_pt_root_id": neuron},
    filter_greater_equal_dict={"size": int(synapses["size"].median())},
)
print(f"{len(strong)} of its synapses are larger than the median of all")

# A box in voxels, and only the columns that are wanted.
low, high = [0, 0, 0], [64, 64, 64]
boxed = materialize.query_table(
    "synapses",
    filter_spatial_dict={"ctr_pt_position": [low, high]},
    select_columns=["id", "ctr_pt_position", "size"],
)
print(f"{len(boxed)} synapses lie in the first corner of the volume")

partners = materialize.synapse_query(pre_ids=neuron, synapse_table="synapses")["post_pt_root_id"].value_counts()
print("its strongest partners:")
print(partners.head(3).to_string(header=False))
