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

-- leftovers --
SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = 'matengine' AND tablename LIKE 'stage\_%')
    OR EXISTS (SELECT 1 FROM pg_database WHERE datname LIKE 'matengine\_build\_%')
