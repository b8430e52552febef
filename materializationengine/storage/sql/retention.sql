Retention, pins and virtual versions: statements on the registry of one live database.

-- hold_versions --
-- Nobody can make a virtual version of one that is being retired, nor begin a run on it. A statement of its own:
-- what was committed while it waited is seen by the next one only.
SELECT id FROM analysisversion ORDER BY id FOR UPDATE

-- facts --
SELECT v.id, v.datastack, v.version, v.status::text, coalesce(v.valid, false), v.expires_on, v.parent_version,
       p.analysisversion_id IS NOT NULL, v.id IN (SELECT id FROM ({in_use}) busy)
FROM analysisversion v LEFT JOIN matengine.pin p ON p.analysisversion_id = v.id
ORDER BY v.id

-- in_use --
-- Versions that an active run reads as its base, or mends.
SELECT v.id, r.id AS run FROM analysisversion v
JOIN matengine.run r ON r.plan #>> '{{incremental,database}}' = v.datastack || '__mat' || v.version
    OR (r.datastack = v.datastack AND (r.plan #>> '{{incremental,mends}}')::int = v.version)
WHERE r.status = 'RUNNING'

-- runs_on --
SELECT run FROM ({in_use}) busy WHERE id = $1::int

-- expire --
-- Marked before anything is dropped, so that no reader is sent to a database that goes away.
UPDATE analysisversion SET status = 'EXPIRED', valid = false WHERE id = ANY ($1) AND status = 'AVAILABLE'

-- dead_databases --
-- Databases of versions that are over: freshly expired ones, and what a crash between mark and drop left.
SELECT v.datastack, v.version, d.datname FROM analysisversion v
JOIN pg_database d ON d.datname = v.datastack || '__mat' || v.version
WHERE v.status IN ('EXPIRED', 'FAILED') AND v.parent_version IS NULL
  AND ($1::text IS NULL OR v.datastack = $1) AND shobj_description(d.oid, 'pg_database') IS DISTINCT FROM $2
ORDER BY v.id

-- is_dead --
-- Locked while the database is dropped, so that nobody brings the version back meanwhile.
SELECT 1 FROM analysisversion
WHERE datastack = $1 AND version = $2::int AND status IN ('EXPIRED', 'FAILED') AND parent_version IS NULL
FOR UPDATE

-- lock_version --
SELECT id, status::text, coalesce(valid, false), expires_on, parent_version FROM analysisversion
WHERE datastack = $1 AND version = $2::int FOR UPDATE

-- pin --
INSERT INTO matengine.pin (analysisversion_id, pinned_by) VALUES ($1::int, $2) ON CONFLICT DO NOTHING

-- unpin --
DELETE FROM matengine.pin WHERE analysisversion_id = $1::int

-- set_expiry --
UPDATE analysisversion SET expires_on = $2::timestamp WHERE id = $1::int

-- living_children --
SELECT datastack FROM analysisversion WHERE parent_version = $1::int AND status = 'AVAILABLE' ORDER BY datastack

-- table_names --
SELECT table_name FROM analysistables WHERE analysisversion_id = $1::int AND valid ORDER BY table_name

-- only_shows --
-- Whether a datastack has versions, and all of them show those of another.
SELECT bool_and(parent_version IS NOT NULL) FROM analysisversion WHERE datastack = $1

-- insert_virtual --
INSERT INTO analysisversion (datastack, version, time_stamp, valid, expires_on, parent_version, status, is_merged)
SELECT $2, version, time_stamp, true, expires_on, id, 'AVAILABLE', is_merged FROM analysisversion WHERE id = $1::int
ON CONFLICT (datastack, version) DO NOTHING
RETURNING id

-- copy_tables --
INSERT INTO analysistables (aligned_volume, schema, table_name, valid, created, analysisversion_id)
SELECT aligned_volume, schema, table_name, true, created, $2::int FROM analysistables
WHERE analysisversion_id = $1::int AND valid AND table_name = ANY ($3)

-- summarize_runs --
-- What the steps of an old run did is kept in its row; its units are not.
UPDATE matengine.run r SET report = s.steps
FROM (SELECT run_id, jsonb_agg(jsonb_build_array(position, units, done, 0, failures, handled, started, finished, spent)
                               ORDER BY position) AS steps
      FROM (SELECT run_id, position, count(*) AS units, count(*) FILTER (WHERE status = 'DONE') AS done,
                   sum(failures) AS failures, coalesce(sum((report ->> 'rows')::bigint), 0) AS handled,
                   min(started) AS started, max(finished) AS finished,
                   coalesce(sum(extract(epoch FROM finished - started)) FILTER (WHERE status = 'DONE'), 0) AS spent
            FROM matengine.unit GROUP BY run_id, position) counted
      GROUP BY run_id) s
WHERE r.id = s.run_id AND r.status <> 'RUNNING' AND r.finished < $1::timestamptz
RETURNING r.id

-- prune_units --
DELETE FROM matengine.unit WHERE run_id = ANY ($1)

-- prune_runs --
DELETE FROM matengine.run WHERE status <> 'RUNNING' AND finished < $1::timestamptz RETURNING id

-- prune_firings --
-- The newest row of a schedule says from where it goes on, and stays.
DELETE FROM matengine.firing f WHERE slot < $1::timestamptz
  AND EXISTS (SELECT 1 FROM matengine.firing later WHERE later.schedule = f.schedule AND later.slot > f.slot)
RETURNING schedule
