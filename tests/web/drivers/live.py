"""Moments as the client asks for them, in each of its three ways."""

from __future__ import annotations

import datetime
import json
import sys
import warnings

from caveclient import CAVEclient
from caveclient.infoservice import InfoServiceClient

warnings.simplefilter("ignore")
asked = json.load(sys.stdin)
# Local CAVE of the tests stands by itself, so its records name its own address as everybody's.
InfoServiceClient.local_server = lambda self, **_: asked["server"]
client = CAVEclient(asked["datastack"], server_address=asked["server"], auth_token="0" * 32)
materialize = client.materialize
moment = datetime.datetime.fromisoformat(asked["moment"])
chosen = {"pre_pt_root_id": asked["roots"]}
by_server = materialize.live_live_query("synapses", moment, filter_in_dict={"synapses": chosen})
by_client = materialize.live_query("synapses", moment, filter_in_dict=chosen)
by_table = materialize.query_table("synapses", timestamp=moment, filter_in_dict=chosen)
by_manager = materialize.tables.synapses(**chosen).live_query(moment)
started = [materialize.ingest_annotation_table("synapses"), materialize.lookup_supervoxel_ids("synapses", [1])]


def told(frame):
    columns = ["id", "pre_pt_root_id", "post_pt_root_id", "pre_pt_supervoxel_id"]
    return sorted([int(value) for value in row] for row in frame[columns].itertuples(index=False))


frames = [told(frame) for frame in (by_server, by_client, by_table, by_manager)]
texts = materialize.get_unique_string_values("synapses")
print(json.dumps({"frames": frames, "started": started, "texts": texts}))
