Statements on views, which people define over flat tables.

-- insert_view --
INSERT INTO analysisviews (table_name, description, datastack_name, voxel_resolution_x, voxel_resolution_y,
                           voxel_resolution_z, notice_text, live_compatible)
VALUES ($1, $2, $3, $4::float8, $5::float8, $6::float8, $7, $8)

-- insert_definition --
INSERT INTO matengine.view_definition (table_name, datastack_name, definition, materialized) VALUES ($1, $2, $3, $4)

-- definitions --
SELECT v.table_name, v.datastack_name, d.definition, v.description, d.materialized, v.live_compatible, v.notice_text,
       v.voxel_resolution_x, v.voxel_resolution_y, v.voxel_resolution_z
FROM analysisviews v JOIN matengine.view_definition d USING (table_name)
WHERE v.datastack_name = $1 ORDER BY v.id

-- relation_kind --
SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1)

-- create_frozen_list --
CREATE TABLE IF NOT EXISTS analysisviews (
  id serial PRIMARY KEY, table_name varchar(100) NOT NULL, description text NOT NULL,
  datastack_name varchar(100) NOT NULL, voxel_resolution_x double precision NOT NULL,
  voxel_resolution_y double precision NOT NULL, voxel_resolution_z double precision NOT NULL,
  notice_text text, live_compatible boolean NOT NULL)

-- standing_on --
-- The catalog only. A view reads relations through its rule; the longest way from a table to it orders them.
WITH RECURSIVE reads AS (
  SELECT DISTINCT r.ev_class AS reader, d.refobjid AS read FROM pg_rewrite r
  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class),
above AS (
  SELECT reads.reader, 1 AS depth FROM reads JOIN pg_class t ON t.oid = reads.read
  WHERE t.relnamespace = 'public'::regnamespace AND t.relname = ANY (%s)
  UNION
  SELECT reads.reader, above.depth + 1 FROM above JOIN reads ON reads.read = above.reader),
found AS (
  SELECT c.*, f.depth, CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS kind
  FROM (SELECT reader, max(depth) AS depth FROM above GROUP BY reader) f JOIN pg_class c ON c.oid = f.reader
  WHERE c.relkind IN ('v', 'm'))
SELECT f.relnamespace::regnamespace::text, f.relname::text, f.relkind::text, pg_get_viewdef(f.oid),
  array_to_string(f.reloptions, ', '),
  ARRAY[format('ALTER %%s @view@ OWNER TO %%I', f.kind, pg_get_userbyid(f.relowner))]
  || ARRAY(SELECT format('GRANT %%s ON @view@ TO %%s', g.privilege_type,
                         CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END)
           FROM aclexplode(f.relacl) g WHERE g.grantee <> f.relowner ORDER BY 1)
  || ARRAY(SELECT format('COMMENT ON %%s @view@ IS %%L', f.kind, told)
           FROM obj_description(f.oid, 'pg_class') AS told WHERE told IS NOT NULL)
  || ARRAY(SELECT regexp_replace(pg_get_indexdef(i.indexrelid), ' ON \S+ USING ', ' ON @view@ USING ')
           FROM pg_index i WHERE i.indrelid = f.oid ORDER BY i.indexrelid)
FROM found f ORDER BY f.depth, f.oid
