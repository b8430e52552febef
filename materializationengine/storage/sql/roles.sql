Least privilege: who owns, who works, who only reads. Run by an administrator of the server; twice is once.

-- make_roles --
-- The engine ends sessions of databases that it drops, and must see who still writes before it freezes.
DO $$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'matengine_owner') THEN
    CREATE ROLE matengine_owner NOLOGIN;
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'matengine_engine') THEN
    CREATE ROLE matengine_engine LOGIN CREATEDB;
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'analysis_user') THEN
    CREATE ROLE analysis_user NOLOGIN;
  END IF;
  ALTER ROLE matengine_engine CREATEDB NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS;
  GRANT matengine_owner, pg_read_all_stats, pg_signal_backend TO matengine_engine;
END $$

-- databases --
-- The home database, the template, live and frozen ones, and those that are to become live.
SELECT datname FROM pg_database
WHERE datallowconn AND (datname IN (current_database(), %(template)s) OR datname = ANY (%(adopted)s)
  OR shobj_description(oid, 'pg_database') = %(mark)s OR datname ~ '__mat[0-9]+$' OR datname LIKE 'matengine\_build\_%%')
ORDER BY datname

-- own_objects --
-- Sequences of columns follow their tables; what belongs to an extension stays the administrator's.
DO $$ DECLARE found record; BEGIN
  FOR found IN
    SELECT format('ALTER TABLE %I.%I OWNER TO matengine_owner', n.nspname, c.relname) AS statement
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('public', 'matengine') AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                      AND d.deptype IN ('e', 'a', 'i') AND (d.deptype = 'e' OR c.relkind = 'S'))
    UNION ALL
    SELECT format('ALTER TYPE %I.%I OWNER TO matengine_owner', n.nspname, t.typname)
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE n.nspname IN ('public', 'matengine') AND t.typtype = 'e'
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'ALTER SCHEMA matengine OWNER TO matengine_owner' FROM pg_namespace WHERE nspname = 'matengine'
  LOOP
    EXECUTE found.statement;
  END LOOP;
  REVOKE CREATE ON SCHEMA public FROM PUBLIC;
  GRANT USAGE, CREATE ON SCHEMA public TO matengine_owner;
END $$

-- hidden_sessions --
-- Who may not see when a session began cannot say that a moment is over. The server's own processes have no role.
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usesysid IS NOT NULL
  AND NOT pg_has_role('pg_read_all_stats', 'USAGE') AND NOT pg_has_role(usesysid, 'USAGE')
