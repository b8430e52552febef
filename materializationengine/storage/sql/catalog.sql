Statements about databases as such. They read catalogs only.

-- database_exists --
SELECT 1 FROM pg_database WHERE datname = $1

-- marked_databases --
SELECT datname FROM pg_database
WHERE shobj_description(oid, 'pg_database') = $1 AND datallowconn
ORDER BY datname

-- stage_tables --
SELECT tablename FROM pg_tables WHERE schemaname = 'matengine' AND tablename LIKE 'stage\_%'

-- build_databases --
SELECT datname FROM pg_database WHERE datname LIKE 'matengine\_build\_%'

-- orphaned_builds --
-- Builds whose live database is gone, and with it the run that would have published them.
SELECT b.datname FROM pg_database b
WHERE b.datname LIKE 'matengine\_build\_%' AND starts_with(shobj_description(b.oid, 'pg_database'), $1)
  AND NOT EXISTS (SELECT 1 FROM pg_database live
                  WHERE live.datname = substr(shobj_description(b.oid, 'pg_database'), length($1) + 1))

-- leftovers --
SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = 'matengine' AND tablename LIKE 'stage\_%')
    OR EXISTS (SELECT 1 FROM pg_database WHERE datname LIKE 'matengine\_build\_%')
