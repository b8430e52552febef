The ledger: runs and their units. All writes lock one run or one unit row; none waits for a graph call.

-- insert_run --
INSERT INTO matengine.run (id, kind, datastack, subject, as_of, exclusive, plan, requested_by)
VALUES ($1, $2, $3, $4, $5::timestamp, $6, $7::jsonb, $8)

-- active_exclusive --
SELECT id, kind, datastack FROM matengine.run WHERE exclusive AND status = 'RUNNING'

-- active_subject --
SELECT id, kind, datastack FROM matengine.run WHERE subject = $1 AND status = 'RUNNING'

-- insert_units --
INSERT INTO matengine.unit (run_id, position, action, args, label, status)
SELECT $1, $2::int, u.action, u.args, u.label, $3
FROM jsonb_to_recordset($4::jsonb) AS u (action text, args jsonb, label text)

-- ready_units --
-- Units of the run's present step become claimable; the ids are what the messages carry.
UPDATE matengine.unit SET status = 'READY', send_after = clock_timestamp()
WHERE run_id = $1 AND position = $2::int AND status = 'WAITING'
RETURNING id

-- claim_unit --
-- READY, or RUNNING under a worker that is gone (the caller holds the unit's advisory lock). A worker whose release does
-- not know the database's layout gets nothing: its statements may be wrong there.
UPDATE matengine.unit u
SET status = 'RUNNING', attempt = attempt + 1, owner = $2, started = clock_timestamp(),
    lease_until = clock_timestamp() + make_interval(secs => $3::float8)
FROM matengine.run r
WHERE u.id = $1::bigint AND u.status IN ('READY', 'RUNNING') AND r.id = u.run_id AND r.status = 'RUNNING'
  AND NOT EXISTS (SELECT 1 FROM matengine.pause p WHERE p.scope IN ('*', r.datastack))
  AND EXISTS (SELECT 1 FROM matengine.alembic_version v WHERE v.version_num = ANY ($4))
RETURNING u.id, u.run_id, u.position, u.action, u.args::text AS args, u.attempt, u.label,
          r.plan::text AS plan, r.token, r.version, coalesce(r.request ->> 'request_id', '') AS request_id

-- fence_unit --
SELECT 1 FROM matengine.unit u JOIN matengine.run r ON r.id = u.run_id
WHERE u.id = $1::bigint AND u.attempt = $2::int AND u.status = 'RUNNING' AND r.status = 'RUNNING'
FOR UPDATE OF u

-- finish_unit --
UPDATE matengine.unit
SET status = 'DONE', finished = clock_timestamp(), report = $3::jsonb, error = NULL
WHERE id = $1::bigint AND attempt = $2::int AND status = 'RUNNING'
RETURNING id

-- lock_run --
SELECT position, jsonb_array_length(plan -> 'steps') FROM matengine.run
WHERE id = $1 AND status = 'RUNNING' FOR UPDATE

-- unfinished_of_step --
SELECT count(*) FROM matengine.unit WHERE run_id = $1 AND position = $2::int AND status <> 'DONE'

-- waiting_of_step --
SELECT count(*) FROM matengine.unit WHERE run_id = $1 AND position = $2::int AND status = 'WAITING'

-- advance_run --
UPDATE matengine.run SET position = $2::int WHERE id = $1

-- succeed_run --
UPDATE matengine.run SET status = 'SUCCEEDED', finished = clock_timestamp() WHERE id = $1 AND status = 'RUNNING'

-- retry_unit --
-- READY where a sweeper was quicker than the worker whose connection broke; the attempt says that it is still ours.
UPDATE matengine.unit
SET status = 'READY', failures = failures + 1, error = $3, owner = NULL, sends = 0,
    send_after = clock_timestamp() + make_interval(secs => $4::float8 * power(2, failures))
WHERE id = $1::bigint AND attempt = $2::int AND status IN ('RUNNING', 'READY')
RETURNING failures

-- leave_unit --
-- Not an attempt: the caller holds the unit's advisory lock and did nothing. A newer worker may come soon.
UPDATE matengine.unit
SET status = 'READY', owner = NULL, attempt = attempt - 1, send_after = clock_timestamp() + interval '5 seconds'
WHERE id = $1::bigint AND attempt = $2::int AND status = 'RUNNING'

-- fail_unit --
UPDATE matengine.unit SET status = 'FAILED', failures = failures + 1, error = $3, finished = clock_timestamp()
WHERE id = $1::bigint AND attempt = $2::int AND status IN ('RUNNING', 'READY')
RETURNING run_id

-- end_run --
UPDATE matengine.run SET status = $2, error = $3, finished = clock_timestamp()
WHERE id = $1 AND status = 'RUNNING'
RETURNING version

-- cancel_units --
-- A unit at work holds its row until its deed is done; it is not waited for, and cannot finish.
UPDATE matengine.unit SET status = 'CANCELLED', finished = clock_timestamp()
WHERE id IN (SELECT id FROM matengine.unit
             WHERE run_id = $1 AND status IN ('WAITING', 'READY', 'RUNNING') FOR UPDATE SKIP LOCKED)

-- cancel_left --
-- What was at work when its run ended, and is not any more.
UPDATE matengine.unit u SET status = 'CANCELLED', finished = clock_timestamp()
FROM matengine.run r WHERE r.id = u.run_id AND r.status <> 'RUNNING' AND u.status = 'READY'

-- free_lost_units --
-- RUNNING without a holder: its worker died. The claim takes them over. One statement, so that the locks are looked at
-- after the units: a unit that was claimed in between is not seen as RUNNING, rather than seen without its lock. A unit
-- whose row is held is at work, and is not waited for.
UPDATE matengine.unit SET status = 'READY', owner = NULL, sends = 0, send_after = clock_timestamp(),
    error = 'its worker ended while it ran'
WHERE id IN (
  SELECT u.id FROM matengine.unit u
  WHERE u.status = 'RUNNING' AND NOT EXISTS (
    SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND d.datname = current_database() AND l.granted
      AND ((l.classid::bigint << 32) | l.objid::bigint) = $1::bigint + u.id)
  FOR UPDATE OF u SKIP LOCKED)
RETURNING id

-- overdue_owners --
-- Past the lease of the claim, and past what the worker said since.
SELECT u.id FROM matengine.unit u LEFT JOIN matengine.renewed_lease l ON l.unit_id = u.id AND l.attempt = u.attempt
WHERE u.status = 'RUNNING' AND greatest(u.lease_until, l.until) < clock_timestamp()

-- renew_lease --
INSERT INTO matengine.renewed_lease AS l (unit_id, attempt, until)
VALUES ($1::bigint, $2::int, clock_timestamp() + make_interval(secs => $3::float8))
ON CONFLICT (unit_id) DO UPDATE SET attempt = excluded.attempt, until = excluded.until
WHERE l.attempt <= excluded.attempt

-- forget_leases --
DELETE FROM matengine.renewed_lease l
WHERE NOT EXISTS (SELECT 1 FROM matengine.unit u WHERE u.id = l.unit_id AND u.status = 'RUNNING')

-- end_holder --
SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND d.datname = current_database()
  AND ((l.classid::bigint << 32) | l.objid::bigint) = $1::bigint

-- units_to_send --
-- Each sending doubles the wait before the next, up to sixteen times $1, so a long queue is not filled with repetitions,
-- and an outage of the broker is not followed by one as long. Where $1 is 0, whatever was sent counts as lost. Of one
-- run at most $2 units are on the way or at work, so that a long run leaves room for what comes after it. What is urgent
-- overtakes the rest on its queue: all units of a step of at most $3, and of a longer one the first on the way and each
-- $2nd, so that a stream of short runs cannot hold a long one up for ever.
WITH open AS (
  SELECT u.id, u.run_id, u.status = 'RUNNING' OR u.sends > 0 AS sent,
         u.send_after <= clock_timestamp() OR u.sends > 0 AND $1::float8 = 0 AS due
  FROM matengine.unit u JOIN matengine.run r ON r.id = u.run_id
  WHERE r.status = 'RUNNING' AND u.status IN ('READY', 'RUNNING')
    AND NOT EXISTS (SELECT 1 FROM matengine.pause p WHERE p.scope IN ('*', r.datastack))),
placed AS (
  SELECT id, due, sent, row_number() OVER (PARTITION BY run_id ORDER BY NOT sent, id) AS place,
         count(*) OVER (PARTITION BY run_id) AS all_open
  FROM open)
UPDATE matengine.unit u
SET sends = sends + 1, send_after = clock_timestamp() + make_interval(secs => $1::float8 * power(2, least(sends, 4)))
FROM placed p, matengine.run r
WHERE p.id = u.id AND r.id = u.run_id AND p.due AND (p.sent OR p.place <= $2::int)
  AND u.status = 'READY' AND (u.send_after <= clock_timestamp() OR u.sends > 0 AND $1::float8 = 0)
RETURNING u.id, u.action, u.run_id, coalesce(r.request ->> 'request_id', ''),
          p.all_open <= $3::int OR p.place = 1 OR u.id % $2::int = 0

-- runs --
SELECT r.id, r.kind, r.datastack, r.as_of, r.status, r.version, r.position, r.error, r.requested_by, r.created,
       r.finished, r.plan::text AS plan, r.estimate::text AS estimate, r.report::text AS report
FROM matengine.run r
WHERE ($1::text IS NULL OR r.id = $1) AND ($2::text IS NULL OR r.datastack = $2)
ORDER BY r.created DESC LIMIT $3::bigint

-- step_counts --
SELECT position, count(*), count(*) FILTER (WHERE status = 'DONE'), count(*) FILTER (WHERE status = 'RUNNING'),
       sum(failures)::bigint, coalesce(sum((report ->> 'rows')::bigint), 0)::bigint,
       min(started), max(finished),
       coalesce(sum(extract(epoch FROM finished - started)) FILTER (WHERE status = 'DONE'), 0)::float8
FROM matengine.unit WHERE run_id = $1 GROUP BY position ORDER BY position

-- unit_reports --
SELECT position, action, label, status, attempt, report::text AS report, error FROM matengine.unit
WHERE run_id = $1 ORDER BY id

-- over_runs --
-- Locked until what they left is dropped: a run that is resumed waits for that.
SELECT id FROM matengine.run WHERE id = ANY ($1) AND status <> 'RUNNING'
  AND (status <> 'FAILED' OR finished <= clock_timestamp() - make_interval(secs => $2::float8)) FOR SHARE
