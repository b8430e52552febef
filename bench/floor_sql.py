"""The statements of the floor: the tables, indexes and joins that any engine at least pays for on this cluster."""

from __future__ import annotations

ANNOTATION = (
    "id bigint NOT NULL, created timestamp NOT NULL, deleted timestamp, superceded_id bigint, valid boolean, "
    "pre_pt_position geometry(PointZ), post_pt_position geometry(PointZ), ctr_pt_position geometry(PointZ), "
    "size double precision"
)
SEGMENTATION = (
    "id bigint NOT NULL, pre_pt_supervoxel_id bigint, pre_pt_root_id bigint, post_pt_supervoxel_id bigint, "
    "post_pt_root_id bigint"
)
ANNOTATION_COLUMNS = "id, created, valid, pre_pt_position, post_pt_position, ctr_pt_position, size"
SEGMENTATION_COLUMNS = "id, pre_pt_supervoxel_id, pre_pt_root_id, post_pt_supervoxel_id, post_pt_root_id"
SEGMENTATION_INDEXES = (
    "ALTER TABLE {} ADD PRIMARY KEY (id)",
    "CREATE INDEX ON {} (pre_pt_root_id)",
    "CREATE INDEX ON {} (post_pt_root_id)",
)
MERGED_INDEXES = (
    *SEGMENTATION_INDEXES,
    "CREATE INDEX ON {} USING gist (pre_pt_position gist_geometry_ops_nd)",
    "CREATE INDEX ON {} USING gist (post_pt_position gist_geometry_ops_nd)",
    "CREATE INDEX ON {} USING gist (ctr_pt_position gist_geometry_ops_nd)",
)
MERGE = (
    "CREATE TABLE merged AS SELECT a.id, a.created, a.valid, pre_pt_position, pre_pt_supervoxel_id, pre_pt_root_id, "
    "post_pt_position, post_pt_supervoxel_id, post_pt_root_id, ctr_pt_position, size "
    "FROM ann a JOIN seg USING (id) WHERE a.valid AND a.created <= now()"
)
COPY_OUT = (
    "COPY (SELECT id, created, valid, st_x(pre_pt_position)::int, st_y(pre_pt_position)::int, "
    "st_z(pre_pt_position)::int, pre_pt_supervoxel_id, pre_pt_root_id, st_x(post_pt_position)::int, "
    "st_y(post_pt_position)::int, st_z(post_pt_position)::int, post_pt_supervoxel_id, post_pt_root_id, "
    "st_x(ctr_pt_position)::int, st_y(ctr_pt_position)::int, st_z(ctr_pt_position)::int, size "
    "FROM merged) TO STDOUT (FORMAT binary)"
)
STAGE = "CREATE TEMP TABLE changed (id bigint, pre bigint, post bigint)"
UPDATE = "UPDATE edited s SET pre_pt_root_id = c.pre, post_pt_root_id = c.post FROM changed c WHERE c.id = s.id"
