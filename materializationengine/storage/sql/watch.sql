What monitoring reads: catalogs, the ledger's open ends, sizes. All of it reads only, and takes milliseconds.

-- server --
SELECT current_setting('server_version_num')::int, extract(epoch FROM clock_timestamp())::float8,
       current_user::text, r.rolsuper, r.rolcreatedb OR r.rolsuper,
       (SELECT default_version FROM pg_available_extensions WHERE name = 'postgis'),
       EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'analysis_user')
FROM pg_roles r WHERE r.rolname = current_user

-- postgis --
SELECT extversion FROM pg_extension WHERE extname = 'postgis'

-- sessions --
-- A worker and a beat each keep one connection for life, whose name says what they do: it goes with the process.
SELECT application_name, extract(epoch FROM greatest(state_change, backend_start))::float8 FROM pg_stat_activity
WHERE application_name LIKE $1 || '%'

-- open_units --
SELECT r.kind, coalesce(r.datastack, ''), u.status, count(*)
FROM matengine.unit u JOIN matengine.run r ON r.id = u.run_id
WHERE r.status = 'RUNNING' GROUP BY 1, 2, 3

-- waiting --
-- The n-th message of a unit went out 2^n - 1 times the first pause after it became ready, see `units_to_send`.
SELECT u.action, count(*),
       max(greatest(0, extract(epoch FROM clock_timestamp() - u.send_after)
                       + $1::float8 * (power(2, least(u.sends, 11)) - 1)))::float8
FROM matengine.unit u JOIN matengine.run r ON r.id = u.run_id
WHERE r.status = 'RUNNING' AND u.status = 'READY'
  AND NOT EXISTS (SELECT 1 FROM matengine.pause p WHERE p.scope IN ('*', r.datastack))
GROUP BY 1

-- ended --
SELECT kind, status, count(*) FROM matengine.run
WHERE status <> 'RUNNING' AND finished > clock_timestamp() - interval '1 day' GROUP BY 1, 2

-- versions --
SELECT datastack, count(*) FILTER (WHERE status = 'AVAILABLE'),
       extract(epoch FROM (clock_timestamp() AT TIME ZONE 'UTC')
               - max(time_stamp) FILTER (WHERE status = 'AVAILABLE'))::float8
FROM analysisversion WHERE parent_version IS NULL GROUP BY 1

-- owed --
SELECT table_name, reason, count(*) FROM matengine.unresolved GROUP BY 1, 2

-- table_bytes --
SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_class c
WHERE c.relnamespace = 'matengine'::regnamespace AND c.relkind = 'r'
  AND c.relname IN ('run', 'unit', 'unresolved', 'root_held', 'root_span')

-- database_bytes --
-- Ours are the live ones, and those that are named as a version or a build is.
SELECT d.datname, pg_database_size(d.oid) FROM pg_database d
WHERE (d.datname = ANY ($1) OR d.datname ~ '__mat[0-9]+$' OR starts_with(d.datname, 'matengine_build_'))
  AND has_database_privilege(d.oid, 'CONNECT')
