Statements that build, check and publish a frozen version.

-- open_writers --
-- Sessions that began before the moment and have written: what they stamp may lie before it, and come later.
SELECT coalesce(application_name, ''), pid, xact_start FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND backend_xid IS NOT NULL
  AND xact_start <= %s AT TIME ZONE 'utc'
ORDER BY xact_start

-- end_sessions --
-- Renaming and dropping send the server's own processes away, which a role that is no superuser may not.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'

-- user_tables --
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.relname <> 'spatial_ref_sys'

-- digest --
-- Order-free: rows may lie anywhere, equal sets give equal digests. Without OFFSET the planner would write the hash out
-- wherever it is mentioned, and make it twice.
SELECT count(*), coalesce(bit_xor(h), 0), coalesce(sum(h & 4294967295), 0)::bigint
FROM (SELECT {row_hash} AS h FROM ({select}) t OFFSET 0) hashed

-- distinct_supervoxels --
SELECT DISTINCT supervoxel FROM ({parts}) p WHERE supervoxel IS NOT NULL

-- create_roots_at --
CREATE TEMPORARY TABLE roots_at (supervoxel bigint, root bigint) ON COMMIT DROP

-- sampled_pairs --
-- Distinct supervoxels with the root beside them. The hash spreads a sample evenly over the volume, and is looked at
-- before anything is gathered: a pass over the table, without a sort of it.
SELECT DISTINCT {supervoxel} AS supervoxel, {root} AS root FROM {table}
WHERE (hashint8extended({supervoxel}, 0) & 1048575) < $1::bigint AND {root} IS NOT NULL

-- null_roots --
SELECT count(*) FROM {table} WHERE {condition}

-- orphans --
SELECT count(*) FROM {table} r LEFT JOIN {target} t ON t.id = r.{column} WHERE t.id IS NULL

-- marks --
SELECT table_name, last_updated FROM segmentation_table_metadata

-- page_count --
SELECT pg_relation_size({table}::regclass) / current_setting('block_size')::bigint

-- page_range_extent --
SELECT ST_XMin(e), ST_YMin(e), ST_ZMin(e), ST_XMax(e), ST_YMax(e), ST_ZMax(e)
FROM (SELECT ST_3DExtent({column}) AS e FROM {table}
      WHERE ctid >= %s::tid AND ctid < %s::tid) pages
WHERE e IS NOT NULL

-- create_materialized_metadata --
CREATE TABLE IF NOT EXISTS materializedmetadata (
  id serial PRIMARY KEY, schema varchar(100) NOT NULL, table_name varchar(100) NOT NULL,
  row_count integer NOT NULL, materialized_timestamp timestamp NOT NULL, segmentation_source varchar(255),
  is_merged boolean)

-- insert_materialized_metadata --
INSERT INTO materializedmetadata
  (schema, table_name, row_count, materialized_timestamp, segmentation_source, is_merged)
VALUES (%s, %s, %s, %s, %s, %s)

-- new_version --
INSERT INTO analysisversion (datastack, version, time_stamp, valid, expires_on, status, is_merged)
SELECT $1, 1 + coalesce(max(version), 0), $2::timestamp, false, $3::timestamp, 'RUNNING', $4
FROM analysisversion
RETURNING version

-- lock_version --
SELECT v.id FROM analysisversion v JOIN matengine.run r ON r.version = v.version AND r.datastack = v.datastack
WHERE v.datastack = $1 AND v.version = $2::int AND v.status = 'RUNNING'
  AND r.id = $3 AND r.token = $4::int AND r.status = 'RUNNING'
FOR UPDATE OF v

-- insert_analysis_table --
INSERT INTO analysistables (aligned_volume, schema, table_name, valid, created, analysisversion_id)
VALUES ($1, $2, $3, true, $4::timestamp, $5::int)

-- insert_frozen_table --
INSERT INTO matengine.frozen_table (analysisversion_id, table_name, row_count, digest, facts)
VALUES ($1::int, $2, $3::bigint, $4, $5::jsonb)

-- publish_version --
UPDATE analysisversion SET status = 'AVAILABLE', valid = true WHERE id = $1::int AND status = 'RUNNING'

-- fail_version --
UPDATE analysisversion SET status = 'FAILED', valid = false
WHERE datastack = $1 AND version = $2::int AND status = 'RUNNING' RETURNING id

-- insert_version_error --
INSERT INTO version_error (exception, error, analysisversion_id)
VALUES ($1, json_build_object('message', $2::text, 'run', $3::text), $4::int)

-- verified_tables --
SELECT report::text FROM matengine.unit
WHERE run_id = $1 AND action = 'freeze.verify' AND status = 'DONE' ORDER BY id

-- version_rows --
SELECT version, time_stamp, status::text, expires_on,
       (SELECT coalesce(max(r.revision), 0) FROM matengine.version_revision r WHERE r.analysisversion_id = v.id),
       EXISTS (SELECT 1 FROM matengine.pin p WHERE p.analysisversion_id = v.id)
FROM analysisversion v
WHERE datastack = $1 AND ($2::int IS NULL OR version = $2::int) ORDER BY version DESC

-- version_tables --
SELECT v.version, t.table_name, t.row_count, t.digest
FROM analysisversion v JOIN matengine.frozen_table t ON t.analysisversion_id = v.id
WHERE v.datastack = $1 AND ($2::int IS NULL OR v.version = $2::int) ORDER BY t.table_name

-- in_order_of_id --
SELECT {columns} FROM {table} ORDER BY id
