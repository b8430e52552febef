What a person does to runs: cancel, resume, pause.

-- run_to_control --
SELECT status, datastack, version FROM matengine.run WHERE id = $1 FOR UPDATE

-- run_to_resume --
SELECT status, datastack, version, token, plan::text FROM matengine.run WHERE id = $1 FOR UPDATE

-- running_units --
SELECT id FROM matengine.unit WHERE run_id = $1 AND status = 'RUNNING'

-- resume_run --
-- The token rises, so that nothing of the former attempt can publish or write to a build.
UPDATE matengine.run
SET status = 'RUNNING', token = token + 1, error = NULL, finished = NULL, notified = NULL
WHERE id = $1 AND status IN ('FAILED', 'CANCELLED')

-- forget_units --
DELETE FROM matengine.unit WHERE run_id = $1 AND position = $2::int AND action = $3

-- renew_units --
-- A new id: whoever still works on the former unit cannot finish it, and its failures are not counted any more.
WITH former AS (
  DELETE FROM matengine.unit WHERE run_id = $1 AND status <> 'DONE' RETURNING id, position, action, args, label)
INSERT INTO matengine.unit (run_id, position, action, args, label, status)
SELECT $1, position, action, args, label, 'WAITING' FROM former ORDER BY id

-- unit_groups --
SELECT position, action, bool_and(status = 'DONE') FROM matengine.unit WHERE run_id = $1
GROUP BY position, action ORDER BY position, action

-- has_stage --
SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = 'matengine' AND tablename LIKE $1)

-- resume_version --
UPDATE analysisversion SET status = 'RUNNING' WHERE datastack = $1 AND version = $2::int AND status = 'FAILED'
RETURNING id

-- pause --
INSERT INTO matengine.pause (scope, paused_by, reason) VALUES ($1, $2, $3) ON CONFLICT (scope) DO NOTHING

-- unpause --
DELETE FROM matengine.pause WHERE scope = $1 RETURNING scope

-- wake --
-- Messages that came during a pause had no effect, and are sent again now.
UPDATE matengine.unit u SET sends = 0, send_after = clock_timestamp()
FROM matengine.run r WHERE r.id = u.run_id AND u.status = 'READY' AND ($1 = '*' OR r.datastack = $1)

-- pauses --
SELECT scope, since, paused_by, reason FROM matengine.pause ORDER BY scope

-- at_work --
SELECT count(*) FROM matengine.unit u JOIN matengine.run r ON r.id = u.run_id
WHERE u.status = 'RUNNING' AND ($1 = '*' OR r.datastack = $1)

-- note --
UPDATE matengine.run SET request = $2::jsonb, estimate = $3::jsonb WHERE id = $1

-- failed_upload --
SELECT id FROM matengine.run
WHERE kind = 'bulk-upload' AND datastack = $1 AND subject = $2 AND status IN ('FAILED', 'CANCELLED')
ORDER BY created DESC LIMIT 1

-- request_of --
SELECT request::text FROM matengine.run WHERE id = $1

-- claim_failures --
-- Each failure is told once; whoever fails to tell it gives it back.
UPDATE matengine.run SET notified = clock_timestamp()
WHERE status = 'FAILED' AND notified IS NULL AND finished > clock_timestamp() - interval '1 day'
RETURNING id, kind, datastack, version, error

-- give_back --
UPDATE matengine.run SET notified = NULL WHERE id = $1

-- finished_like --
SELECT coalesce((r.estimate ->> 'rows')::bigint, 0),
       extract(epoch FROM r.finished - r.created)::float8
FROM matengine.run r
WHERE r.kind = $1 AND r.datastack IS NOT DISTINCT FROM $2 AND r.status = 'SUCCEEDED' AND r.estimate IS NOT NULL
ORDER BY r.created DESC LIMIT 20

-- table_sizes --
-- Rows by the planner's last density and today's pages (the last column: it never counted), bytes with indexes.
SELECT c.relname,
       greatest(c.reltuples / greatest(c.relpages, 1)
                * (pg_relation_size(c.oid) / current_setting('block_size')::bigint), 0)::bigint,
       pg_total_relation_size(c.oid), c.reltuples < 0 OR c.relpages = 0
FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1)

-- may_run_programs --
SELECT pg_has_role('pg_execute_server_program', 'USAGE')

-- take_token --
-- Refill by the server's clock, then take one; below zero is debt. One row, locked for a millisecond.
INSERT INTO matengine.token_bucket AS b (name, tokens, refilled) VALUES ($1, $3::float8 - 1, clock_timestamp())
ON CONFLICT (name) DO UPDATE
SET tokens = least($3::float8, b.tokens + $2::float8 * extract(epoch FROM clock_timestamp() - b.refilled)::float8) - 1,
    refilled = clock_timestamp()
RETURNING tokens

-- hold --
SELECT pg_sleep($1::float8)
