"""CAVE's fixed tables: made where they are missing, completed where an older CAVE made them."""

from alembic import op

revision = "0001"
down_revision = None

_TYPES = """
DO $$ BEGIN
  IF to_regtype('public.version_status') IS NULL THEN
    CREATE TYPE version_status AS ENUM ('AVAILABLE', 'RUNNING', 'FAILED', 'EXPIRED');
  END IF;
  IF to_regtype('public.readwrite_permission') IS NULL AND to_regtype('public.read_permission') IS NULL THEN
    CREATE TYPE readwrite_permission AS ENUM ('PRIVATE', 'GROUP', 'PUBLIC');
  ELSIF to_regtype('public.readwrite_permission') IS NULL THEN
    -- CAVE names this type after one of its two columns where its models made the database.
    ALTER TYPE read_permission RENAME TO readwrite_permission;
  END IF;
END $$
"""

_TABLES = """
CREATE TABLE IF NOT EXISTS analysisversion (
  id serial PRIMARY KEY, datastack varchar(100) NOT NULL, version integer NOT NULL,
  time_stamp timestamp NOT NULL, valid boolean, expires_on timestamp,
  parent_version integer REFERENCES analysisversion, status version_status NOT NULL, is_merged boolean);
CREATE TABLE IF NOT EXISTS analysistables (
  id serial PRIMARY KEY, aligned_volume varchar(100) NOT NULL, schema varchar(100) NOT NULL,
  table_name varchar(100) NOT NULL, valid boolean, created timestamp NOT NULL,
  analysisversion_id integer REFERENCES analysisversion);
CREATE TABLE IF NOT EXISTS version_error (
  id serial PRIMARY KEY, exception varchar, error json, analysisversion_id integer REFERENCES analysisversion);
CREATE TABLE IF NOT EXISTS annotation_table_metadata (
  id serial PRIMARY KEY, schema_type varchar(100) NOT NULL, table_name varchar(100) NOT NULL UNIQUE,
  valid boolean, created timestamp NOT NULL, deleted timestamp, user_id varchar(255) NOT NULL,
  description text NOT NULL, notice_text text, reference_table varchar(100),
  flat_segmentation_source varchar(300), voxel_resolution_x double precision NOT NULL,
  voxel_resolution_y double precision NOT NULL, voxel_resolution_z double precision NOT NULL,
  write_permission readwrite_permission NOT NULL, read_permission readwrite_permission NOT NULL,
  last_modified timestamp NOT NULL);
CREATE TABLE IF NOT EXISTS segmentation_table_metadata (
  id serial PRIMARY KEY, schema_type varchar(100) NOT NULL, table_name varchar(100) NOT NULL UNIQUE,
  valid boolean, created timestamp NOT NULL, deleted timestamp, segmentation_source varchar(255),
  pcg_table_name varchar(255) NOT NULL, last_updated timestamp,
  annotation_table varchar(100) REFERENCES annotation_table_metadata (table_name));
CREATE TABLE IF NOT EXISTS combined_table_metadata (
  id serial PRIMARY KEY, reference_table varchar(100) REFERENCES annotation_table_metadata (table_name),
  annotation_table varchar(100) REFERENCES annotation_table_metadata (table_name), valid boolean,
  created timestamp NOT NULL, deleted timestamp, description text NOT NULL,
  CONSTRAINT not_self_referenced CHECK (reference_table <> annotation_table));
CREATE TABLE IF NOT EXISTS analysisviews (
  id serial PRIMARY KEY, table_name varchar(100) NOT NULL, description text NOT NULL,
  datastack_name varchar(100) NOT NULL, voxel_resolution_x double precision NOT NULL,
  voxel_resolution_y double precision NOT NULL, voxel_resolution_z double precision NOT NULL,
  notice_text text, live_compatible boolean NOT NULL)
"""

_COMPLETED = """
ALTER TABLE analysisversion ADD COLUMN IF NOT EXISTS parent_version integer REFERENCES analysisversion;
ALTER TABLE analysisversion ADD COLUMN IF NOT EXISTS is_merged boolean DEFAULT true;
ALTER TABLE annotation_table_metadata ADD COLUMN IF NOT EXISTS notice_text text;
CREATE UNIQUE INDEX IF NOT EXISTS analysisversion_datastack_version_key ON analysisversion (datastack, version)
"""


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS postgis")
    op.execute(_TYPES)
    for statements in (_TABLES, _COMPLETED):
        op.execute(statements)
