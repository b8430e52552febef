Statements of backup, restore and upgrade.

-- readable_versions --
-- Virtual versions have no database of their own.
SELECT datastack, version, time_stamp FROM analysisversion
WHERE status = 'AVAILABLE' AND valid AND parent_version IS NULL ORDER BY id

-- layout --
SELECT version_num FROM matengine.alembic_version

-- has_layout --
SELECT to_regclass('matengine.alembic_version') IS NOT NULL

-- holds_anything --
SELECT EXISTS (SELECT 1 FROM matengine.run) OR EXISTS (SELECT 1 FROM analysisversion)
    OR EXISTS (SELECT 1 FROM annotation_table_metadata)

-- running_runs --
SELECT id, datastack, version FROM matengine.run WHERE status = 'RUNNING'

-- lose_version --
-- Not readable until it is made anew; whoever asks why finds the reason.
WITH lost AS (
  UPDATE analysisversion SET status = 'FAILED', valid = false
  WHERE datastack = %s AND version = %s AND status = 'AVAILABLE' RETURNING id)
INSERT INTO version_error (exception, error, analysisversion_id)
SELECT 'NotInBackup', json_build_object('message', %s::text), id FROM lost

-- reopen_version --
-- Only one that has no database: what is published stays as it is.
UPDATE analysisversion v SET status = 'RUNNING', valid = false
WHERE datastack = $1 AND version = $2::int AND status IN ('AVAILABLE', 'FAILED') AND parent_version IS NULL
  AND NOT EXISTS (SELECT 1 FROM pg_database WHERE datname = v.datastack || '__mat' || v.version)
  AND EXISTS (SELECT 1 FROM matengine.frozen_table f WHERE f.analysisversion_id = v.id)
RETURNING version

-- lost_version --
SELECT id, time_stamp, is_merged IS NOT FALSE,
       EXISTS (SELECT 1 FROM matengine.frozen_table f WHERE f.analysisversion_id = v.id AND f.facts ? $3)
FROM analysisversion v WHERE datastack = $1 AND version = $2::int AND parent_version IS NULL

-- published_digests --
SELECT table_name, facts ->> $2, digest FROM matengine.frozen_table WHERE analysisversion_id = $1::int

-- forget_tables --
DELETE FROM analysistables WHERE analysisversion_id = $1::int

-- forget_digests --
DELETE FROM matengine.frozen_table WHERE analysisversion_id = $1::int
