"""Read with the real client what the test asks for, and print it as JSON."""

from __future__ import annotations

import json
import sys
import warnings

from caveclient import CAVEclient
from frames import told

warnings.simplefilter("ignore")
asked = json.load(sys.stdin)


client = CAVEclient(asked["datastack"], server_address=asked["server"], auth_token="0" * 32)
materialize = client.materialize
out = {
    "versions": [int(version) for version in materialize.get_versions()],
    "expired": [int(version) for version in materialize.get_versions(expired=True)],
    "timestamp": materialize.get_timestamp(1).isoformat(),
    "tables": materialize.get_tables(version=1),
    "metadata": materialize.get_table_metadata("synapses", version=1),
    "count": materialize.get_annotation_count("synapses", version=1),
    "all_metadata": [record["table_name"] for record in materialize.get_tables_metadata(version=1)],
    "versions_metadata": [record["version"] for record in materialize.get_versions_metadata()],
    "frames": {},
}
for name, (table, arguments) in asked["queries"].items():
    frame = materialize.query_table(table, materialization_version=asked.get("version", 1), **arguments)
    out["frames"][name] = told(frame) | {"resolution": frame.attrs.get("dataframe_resolution")}
join = materialize.join_query(
    [["cell_types", "target_id"], ["nuclei", "id"]],
    suffixes={"cell_types": "", "nuclei": "_ref"},
    materialization_version=1,
)
out["frames"]["join"] = told(join)
out["synapses"] = told(materialize.synapse_query(pre_ids=asked["root"], materialization_version=1, include_zeros=False))
client.materialize.version = 1
cells = materialize.tables.cell_types(cell_type="a").query()
out["frames"]["manager"] = told(cells)
box = materialize.tables.synapses(ctr_pt_position_bbox=[[0, 0, 0], [300, 300, 300]]).query(split_positions=True)
out["frames"]["managed_box"] = told(box)
rows = materialize.query_table("marks", materialization_version=1, return_df=False)
out["json_rows"] = rows
print(json.dumps(out))
