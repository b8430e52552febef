Statements of the annotation service: single writers of one live table.

-- hold_table --
-- The row lock makes one writer of a table wait for the other, and gives the transaction its id before it looks at
-- the clock: a freeze that waits for open writers then sees whoever may still write a row stamped before its moment.
SELECT schema_type, reference_table FROM annotation_table_metadata
WHERE table_name = $1 AND deleted IS NULL AND valid IS NOT FALSE
FOR NO KEY UPDATE

-- stamp --
SELECT pg_current_xact_id()::text, clock_timestamp() AT TIME ZONE 'utc'

-- touch --
UPDATE annotation_table_metadata SET last_modified = $2::timestamp WHERE table_name = $1

-- table_exists --
SELECT to_regclass($1) IS NOT NULL OR EXISTS (SELECT 1 FROM annotation_table_metadata WHERE table_name = $2)

-- insert_table --
INSERT INTO annotation_table_metadata
  (schema_type, table_name, valid, created, last_modified, user_id, description, notice_text, reference_table,
   flat_segmentation_source, voxel_resolution_x, voxel_resolution_y, voxel_resolution_z, write_permission,
   read_permission)
VALUES ($1, $2, true, $3::timestamp, $3::timestamp, $4, $5, $6, $7, $8, $9::float8, $10::float8, $11::float8,
        $12::readwrite_permission, $13::readwrite_permission)

-- delete_table --
UPDATE annotation_table_metadata SET deleted = $2::timestamp, last_modified = $2::timestamp WHERE table_name = $1

-- next_ids --
SELECT nextval(pg_get_serial_sequence($1, 'id')) FROM generate_series(1, $2::bigint)

-- pass_ids --
-- The caller holds the table, so nobody draws a number between the look and the setting.
SELECT setval(pg_get_serial_sequence($1, 'id'), $2::bigint)
WHERE $2::bigint > coalesce(pg_sequence_last_value(pg_get_serial_sequence($1, 'id')::regclass), 0)

-- states --
-- What became of the rows asked for; a row that is not there is not in the answer.
SELECT id, superceded_id, deleted IS NOT NULL{or_invalid} FROM {table}
WHERE id = ANY ($1::bigint[]) {lock}

-- delete_rows --
UPDATE {table} SET deleted = $2::timestamp{invalidate}
WHERE id = ANY ($1::bigint[]) AND deleted IS NULL{and_valid}

-- create_changes --
CREATE TEMPORARY TABLE changes ({definitions}) ON COMMIT DROP

-- insert_successors --
INSERT INTO {table} ({names}) SELECT {expressions} FROM {table} a JOIN pg_temp.changes c ON c.old_id = a.id
ORDER BY c.new_id

-- close_predecessors --
UPDATE {table} a SET deleted = $1::timestamp{invalidate}, superceded_id = c.new_id
FROM pg_temp.changes c WHERE c.old_id = a.id

-- rows --
SELECT {columns} FROM {table} a WHERE id = ANY ($1::bigint[])

-- count_rows --
SELECT count(*) FROM {table} WHERE deleted IS NULL{and_valid}

-- visible_ids --
SELECT a.id FROM {table} a WHERE {shown} ORDER BY a.id

-- create_rest_rows --
CREATE TEMPORARY TABLE {staged} (LIKE {table}) ON COMMIT DROP

-- stage_rest_rows --
-- JSON numbers are numeric here: an id loses no digit.
INSERT INTO {table} ({names}) SELECT {values} FROM jsonb_to_recordset(%s::jsonb) AS r ({definitions})
