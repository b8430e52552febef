"""Views as the client reads them, by method and by manager."""

from __future__ import annotations

import json
import sys

from caveclient import CAVEclient

asked = json.load(sys.stdin)
client = CAVEclient(asked["datastack"], server_address=asked["server"], auth_token="x", write_server_cache=False)
materialize = client.materialize
materialize.version = 1
frame = materialize.query_view(asked["view"])
typed = materialize.views[asked["view"]](cell_type="a").query()
answer = {
    "names": list(materialize.get_views()),
    "ids": sorted(map(int, frame["id"])),
    "typed": sorted(map(int, typed["id"])),
    "record": materialize.get_view_metadata(asked["view"]),
    "columns": materialize.get_view_schema(asked["view"]),
    "schemas": materialize.get_view_schemas(),
    "dtypes": {name: str(dtype) for name, dtype in frame.dtypes.items()},
}
print(json.dumps(answer))
