Statements of a version that is made from a base version. The base is only read; its temporary tables are the reader's own.

-- base_version --
-- Held until the run is in the ledger, so that nobody retires the base in between.
SELECT v.status::text, v.valid, h.time_stamp, h.datastack, h.version
FROM analysisversion v JOIN analysisversion h ON h.id = coalesce(v.parent_version, v.id)
WHERE v.datastack = $1 AND v.version = $2::int
FOR SHARE OF v, h

-- version_numbers --
SELECT version FROM analysisversion
WHERE datastack = $1 AND status = 'AVAILABLE' AND valid ORDER BY version DESC LIMIT 5

-- version_state --
SELECT time_stamp, status::text, coalesce(is_merged, true), parent_version IS NOT NULL
FROM analysisversion WHERE datastack = $1 AND version = $2::int FOR SHARE

-- version_table_names --
SELECT t.table_name FROM analysistables t JOIN analysisversion v ON v.id = t.analysisversion_id
WHERE v.datastack = $1 AND v.version = $2::int AND t.valid

-- column_types --
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod)
FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped

-- owed_ids --
SELECT id FROM {table} WHERE {owed}

-- expired_supervoxels --
-- By the root's index where few roots expired, by one scan where many did.
SELECT DISTINCT supervoxel FROM ({parts}) p WHERE supervoxel IS NOT NULL

-- gone_ids --
-- Rows that left between the two moments; those that a legacy client switched off have no moment, and are named each time.
SELECT a.id FROM {annotation} a
WHERE a.deleted > {since} AND a.deleted <= {until} OR a.valid IS FALSE AND a.deleted IS NULL

-- live_roots --
-- The live table stands at the version's moment.
SELECT s.{supervoxel}, s.{root} FROM {segmentation} s JOIN pg_temp.asked a ON a.supervoxel = s.{supervoxel}
WHERE s.{root} IS NOT NULL

-- history_roots --
-- A root id is never used twice, so between the first and the last moment it was seen it held.
SELECT h.supervoxel, h.root FROM matengine.root_history h JOIN pg_temp.asked a ON a.supervoxel = h.supervoxel
WHERE h.pcg_table = {pcg_table} AND h.first_seen <= {moment} AND h.last_seen >= {moment}

-- add_cell_segments --
INSERT INTO public.cellsegment {source} ON CONFLICT DO NOTHING

-- still_referenced --
SELECT min(t.{supervoxel}), e.root FROM {table} t JOIN public.cellsegment_expired e ON e.root = t.{root}
GROUP BY e.root

-- delete_cell_segments --
DELETE FROM public.cellsegment c USING public.cellsegment_expired e
WHERE e.root = c.id AND NOT EXISTS (SELECT 1 FROM pg_temp.alive a WHERE a.root = e.root)

-- grant_readers --
-- CAVE's analysts read as this role; where it does not exist there is nobody to grant to.
DO $$ BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'analysis_user') THEN
    GRANT USAGE ON SCHEMA public TO analysis_user;
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO analysis_user;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO analysis_user;
  END IF;
END $$

-- indexes --
SELECT pg_get_indexdef(i.indexrelid), i.indisprimary, c.relname
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = %s::regclass

-- create_marker --
-- Stands in the mended database itself: what was swapped in, in the transaction that swapped it.
CREATE TABLE IF NOT EXISTS matengine.mended (run_id text PRIMARY KEY, tables jsonb NOT NULL)

-- mark --
INSERT INTO matengine.mended (run_id, tables) VALUES (%s, %s::jsonb)

-- marked --
SELECT tables FROM matengine.mended WHERE run_id = %s

-- replace_materialized_metadata --
DELETE FROM materializedmetadata WHERE table_name = %s

-- lock_mended_version --
SELECT id FROM analysisversion WHERE datastack = $1 AND version = $2::int AND status = 'AVAILABLE' FOR UPDATE

-- add_analysis_table --
INSERT INTO analysistables (aligned_volume, schema, table_name, valid, created, analysisversion_id)
SELECT $1, $2, $3, true, $4::timestamp, $5::int
WHERE NOT EXISTS (SELECT 1 FROM analysistables WHERE analysisversion_id = $5::int AND table_name = $3 AND valid)

-- replace_frozen_table --
-- Fact $6 is about the version, not about this table: it stays.
INSERT INTO matengine.frozen_table AS f (analysisversion_id, table_name, row_count, digest, facts)
VALUES ($1::int, $2, $3::bigint, $4, $5::jsonb)
ON CONFLICT (analysisversion_id, table_name)
DO UPDATE SET row_count = excluded.row_count, digest = excluded.digest,
              facts = excluded.facts || jsonb_strip_nulls(jsonb_build_object($6::text, f.facts -> $6::text))

-- add_revision --
-- The first publication is revision 0, which has no row.
INSERT INTO matengine.version_revision (analysisversion_id, revision, run_id, mended)
SELECT $1::int, 1 + coalesce(max(revision), 0), $2, $3::jsonb FROM matengine.version_revision
WHERE analysisversion_id = $1::int
RETURNING revision

-- revisions --
SELECT r.revision, r.run_id, r.mended::text, r.made
FROM matengine.version_revision r JOIN analysisversion v ON v.id = r.analysisversion_id
WHERE v.datastack = $1 AND v.version = $2::int ORDER BY r.revision

-- newest_base --
-- A version about to expire may be dropped while it is read.
SELECT v.version, h.time_stamp, h.datastack, h.version,
       (SELECT sum(f.row_count)::bigint FROM matengine.frozen_table f WHERE f.analysisversion_id = h.id),
       (SELECT coalesce(sum((f.facts ->> 'unresolved')::bigint), 0)::bigint
        FROM matengine.frozen_table f WHERE f.analysisversion_id = h.id)
FROM analysisversion v JOIN analysisversion h ON h.id = coalesce(v.parent_version, v.id)
WHERE v.datastack = $1 AND v.status = 'AVAILABLE' AND v.valid AND h.time_stamp <= $2::timestamp
  AND coalesce(h.is_merged, true) = $3 AND (v.expires_on IS NULL OR v.expires_on > $4::timestamp)
  AND EXISTS (SELECT 1 FROM pg_database d WHERE d.datname = h.datastack || '__mat' || h.version)
ORDER BY h.time_stamp DESC, v.version DESC LIMIT 1 FOR SHARE OF v, h

-- changed_rows --
-- By the indexes on both columns.
SELECT count(*) FROM {annotation} a
WHERE a.created > $1::timestamp AND a.created <= $2::timestamp OR a.deleted > $1::timestamp AND a.deleted <= $2::timestamp
