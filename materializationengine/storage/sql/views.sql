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
