Statements of a version that is made from a base version. The base is only read; its temporary tables are the reader's own.

-- base_version --
SELECT v.status::text, v.valid, h.time_stamp, h.datastack, h.version
FROM analysisversion v JOIN analysisversion h ON h.id = coalesce(v.parent_version, v.id)
WHERE v.datastack = $1 AND v.version = $2::int

-- version_numbers --
SELECT version FROM analysisversion
WHERE datastack = $1 AND status = 'AVAILABLE' AND valid ORDER BY version DESC LIMIT 5

-- version_state --
SELECT time_stamp, status::text, coalesce(is_merged, true), parent_version IS NOT NULL
FROM analysisversion WHERE datastack = $1 AND version = $2::int

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

-- history_roots --
-- A root id is never used twice, so between the first and the last moment it was seen it held.
SELECT h.supervoxel, h.root FROM matengine.root_history h JOIN pg_temp.asked a ON a.supervoxel = h.supervoxel
WHERE h.pcg_table = {pcg_table} AND h.first_seen <= {moment} AND h.last_seen >= {moment}

-- add_cell_segments --
INSERT INTO public.cellsegment {source} ON CONFLICT DO NOTHING

-- still_referenced --
SELECT t.id, e.root FROM {table} t JOIN public.cellsegment_expired e ON e.root = t.{root} LIMIT 1

-- delete_cell_segments --
DELETE FROM public.cellsegment c USING public.cellsegment_expired e WHERE e.root = c.id

-- grant_readers --
-- CAVE's analysts read as this role; where it does not exist there is nobody to grant to.
DO $$ BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'analysis_user') THEN
    GRANT USAGE ON SCHEMA public TO analysis_user;
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO analysis_user;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO analysis_user;
  END IF;
END $$
