"""The demo's lines of caveclient, run in a Python of its own: `demo_client.py SERVER DATASTACK post|find ...`."""

from __future__ import annotations

import json
import sys

from caveclient import CAVEclient

TABLE = "landmarks"


def post(client: CAVEclient) -> dict[str, object]:
    """Make a table and post three points at the places of the first synapses."""
    synapses = client.materialize.query_table("synapses", limit=3)
    resolution = client.materialize.get_table_metadata("synapses")["voxel_resolution"]
    client.annotation.create_table(
        TABLE, "bound_tag", description="three landmarks of the demo", voxel_resolution=resolution
    )
    rows = [
        {"pt": {"position": [int(value) for value in point]}, "tag": f"landmark {number}"}
        for number, point in enumerate(synapses["pre_pt_position"])
    ]
    return {"ids": [int(one) for one in client.annotation.post_annotation(TABLE, rows)]}


def find(client: CAVEclient, version: str, ids: str) -> dict[str, object]:
    """Find them in a version."""
    wanted = [int(one) for one in ids.split(",")]
    client.materialize.version = int(version)
    rows = client.materialize.query_table(TABLE, filter_in_dict={"id": wanted})
    if sorted(rows["id"]) != sorted(wanted):
        raise SystemExit(f"posted {wanted}, found {sorted(rows['id'])}")
    return {"roots": [int(root) for root in rows["pt_root_id"]]}


def main() -> None:
    """Say what was done as one line of JSON."""
    server, datastack, deed, *words = sys.argv[1:]
    client = CAVEclient(datastack, server_address=server)
    answer = post(client) if deed == "post" else find(client, *words)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
