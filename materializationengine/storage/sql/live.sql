Statements on the tables of a live database.

-- annotation_tables --
SELECT table_name, schema_type, reference_table, voxel_resolution_x, voxel_resolution_y, voxel_resolution_z
FROM annotation_table_metadata
WHERE CASE WHEN $1::timestamp IS NULL THEN deleted IS NULL AND valid IS NOT FALSE
           ELSE created <= $1::timestamp AND (deleted > $1::timestamp OR deleted IS NULL AND valid IS NOT FALSE) END
ORDER BY table_name

-- segmentation_owner --
SELECT annotation_table FROM segmentation_table_metadata WHERE table_name = $1

-- segmentation_state --
SELECT last_updated FROM segmentation_table_metadata WHERE table_name = $1 {lock}

-- insert_segmentation_metadata --
INSERT INTO segmentation_table_metadata
  (schema_type, table_name, valid, created, segmentation_source, pcg_table_name, annotation_table)
VALUES ($1, $2, true, clock_timestamp() AT TIME ZONE 'utc', $3, $4, $5)

-- insert_annotation_metadata --
INSERT INTO annotation_table_metadata
  (schema_type, table_name, valid, created, user_id, description, notice_text, reference_table,
   flat_segmentation_source, voxel_resolution_x, voxel_resolution_y, voxel_resolution_z, write_permission,
   read_permission, last_modified)
VALUES ($1, $2, true, $3::timestamp, $4, $5, $6, $7, $8, $9::float8, $10::float8, $11::float8,
        $12::readwrite_permission, $13::readwrite_permission, clock_timestamp() AT TIME ZONE 'utc')

-- move_last_updated --
UPDATE segmentation_table_metadata SET last_updated = $2::timestamp
WHERE table_name = $1 AND (last_updated IS NULL OR last_updated < $2::timestamp)
RETURNING id

-- newest_version_moment --
SELECT max(time_stamp) FROM analysisversion WHERE status IN ('AVAILABLE', 'RUNNING')

-- missing_ranges --
-- The last id of every batch of rows that lack an id or a root; a scan of both tables, no lock.
SELECT first_id, last_id, size FROM (
  SELECT min(id) AS first_id, max(id) AS last_id, count(*) AS size, batch
  FROM (SELECT a.id, (row_number() OVER (ORDER BY a.id) - 1) / $1::bigint AS batch
        FROM {annotation} a LEFT JOIN {segmentation} s ON s.id = a.id
        WHERE {missing}) numbered
  GROUP BY batch) batches
ORDER BY first_id

-- missing_rows --
SELECT a.id, {columns} FROM {annotation} a LEFT JOIN {segmentation} s ON s.id = a.id
WHERE a.id BETWEEN $1::bigint AND $2::bigint AND {missing}
ORDER BY a.id

-- upsert_segmentation --
-- A supervoxel is fixed for ever and a root that is there is vouched for: only gaps are filled.
INSERT INTO {segmentation} AS s ({names}) SELECT {names} FROM pg_temp.found
ON CONFLICT (id) DO UPDATE SET {filled}

-- clear_unresolved --
DELETE FROM matengine.unresolved WHERE table_name = $1 AND annotation_id BETWEEN $2::bigint AND $3::bigint
  AND NOT EXISTS (SELECT 1 FROM pg_temp.owed o
                  WHERE o.annotation_id = unresolved.annotation_id AND o.column_name = unresolved.column_name)

-- note_unresolved --
INSERT INTO matengine.unresolved AS u (table_name, annotation_id, column_name, reason, first_seen, last_tried)
SELECT $1, annotation_id, column_name, reason, $2::timestamp, $2::timestamp FROM pg_temp.owed
ON CONFLICT (table_name, annotation_id, column_name)
DO UPDATE SET attempts = u.attempts + 1, last_tried = excluded.last_tried, reason = excluded.reason

-- has_roots --
SELECT EXISTS (SELECT 1 FROM {segmentation} WHERE {any_root})

-- count_indexes --
SELECT count(*) FROM pg_index WHERE indrelid = $1::regclass

-- has_foreign_key --
SELECT EXISTS (SELECT 1 FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'f')

-- unchecked_foreign_keys --
SELECT conname FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'f' AND NOT convalidated
