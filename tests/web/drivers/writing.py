"""Write with the real client, and print what came back as JSON."""

from __future__ import annotations

import json
import sys

import pandas as pd
from caveclient import CAVEclient

asked = json.load(sys.stdin)
client = CAVEclient(asked["datastack"], server_address=asked["server"], auth_token="0" * 32)
annotation = client.annotation
name = asked["table"]
resolution = [4.0, 4.0, 40.0]
out = {}
made = annotation.create_table(name, "nucleus_detection", "what it is", voxel_resolution=resolution, user_id=3)
out["created"] = made.status_code
out["listed"] = name in annotation.get_tables()
out["resolution"] = annotation.get_table_metadata(name)["voxel_resolution"]
posted = annotation.post_annotation(
    name, [{"volume": 1.0, "pt": {"position": [1, 2, 3]}}, {"pt": {"position": [4, 5, 6]}}]
)
out["posted"] = posted
frame = pd.DataFrame({"pt_position": [[7, 8, 9], [10, 11, 12]], "volume": [3.5, 4.5]})
out["frame"] = annotation.post_annotation_df(name, frame, position_columns=["pt_position"])
out["updated"] = annotation.update_annotation(name, {"id": posted[0], "pt": {"position": [9, 9, 9]}})
out["deleted"] = annotation.delete_annotation(name, [posted[1]])
out["count"] = annotation.get_annotation_count(name)
out["got"] = annotation.get_annotation(name, [out["updated"][str(posted[0])]])
stage = annotation.stage_annotations(name)
stage.add(pt_position=[1, 1, 1], volume=2.0)
stage.add(pt_position=[2, 2, 2], volume=3.0)
annotation.upload_staged_annotations(stage)
out["after_staging"] = annotation.get_annotation_count(name)
out["changed"] = annotation.update_metadata(name, description="other")["description"]
out["removed"] = annotation.delete_table(name)
out["still_listed"] = name in annotation.get_tables()
print(json.dumps(out))
