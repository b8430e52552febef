"""Read with the real client what the test asks for, and print it as JSON."""

from __future__ import annotations

import datetime
import json
import sys
import warnings

import numpy as np
import pandas as pd
from caveclient import CAVEclient

warnings.simplefilter("ignore")
asked = json.load(sys.stdin)


def plain(value):
    if isinstance(value, np.ndarray):
        return [plain(each) for each in value]
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, (list, dict, str)):
        return value
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    return value.item() if hasattr(value, "item") else value


def told(frame):
    rows = [[plain(value) for value in row] for row in frame.itertuples(index=False)]
    return {"columns": list(frame.columns), "dtypes": [str(kind) for kind in frame.dtypes], "rows": rows}


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
