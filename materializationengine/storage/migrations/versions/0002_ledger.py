"""The engine's own tables, in a schema of their own: ledger, root history, what is still owed, digests."""

from alembic import op

revision = "0002"
down_revision = "0001"

_RUNS = """
CREATE TABLE matengine.run (
  id text PRIMARY KEY,
  kind text NOT NULL,
  datastack text,
  subject text,
  as_of timestamp,
  status text NOT NULL DEFAULT 'RUNNING' CHECK (status IN ('RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
  exclusive boolean NOT NULL,
  plan jsonb NOT NULL,
  token integer NOT NULL DEFAULT 1,
  version integer,
  position integer NOT NULL DEFAULT 0,
  report jsonb,
  error text,
  requested_by text NOT NULL,
  created timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished timestamptz);
CREATE UNIQUE INDEX run_one_exclusive ON matengine.run (exclusive) WHERE exclusive AND status = 'RUNNING';
CREATE UNIQUE INDEX run_one_a_subject ON matengine.run (subject) WHERE status = 'RUNNING';
CREATE INDEX run_newest ON matengine.run (created DESC)
"""

_UNITS = """
CREATE TABLE matengine.unit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id text NOT NULL REFERENCES matengine.run ON DELETE CASCADE,
  position integer NOT NULL,
  action text NOT NULL,
  args jsonb NOT NULL,
  label text NOT NULL,
  status text NOT NULL CHECK (status IN ('WAITING', 'READY', 'RUNNING', 'DONE', 'FAILED', 'CANCELLED')),
  attempt integer NOT NULL DEFAULT 0,
  failures integer NOT NULL DEFAULT 0,
  sends integer NOT NULL DEFAULT 0,
  owner text,
  send_after timestamptz,
  lease_until timestamptz,
  started timestamptz,
  finished timestamptz,
  report jsonb,
  error text);
CREATE INDEX unit_of_run ON matengine.unit (run_id, position);
CREATE INDEX unit_unfinished ON matengine.unit (status) WHERE status IN ('READY', 'RUNNING')
"""

_FACTS = """
CREATE TABLE matengine.unresolved (
  table_name text NOT NULL, annotation_id bigint NOT NULL, column_name text NOT NULL,
  reason text NOT NULL, attempts integer NOT NULL DEFAULT 1,
  first_seen timestamp NOT NULL, last_tried timestamp NOT NULL,
  PRIMARY KEY (table_name, annotation_id, column_name));
CREATE TABLE matengine.root_history (
  pcg_table text NOT NULL, supervoxel bigint NOT NULL, root bigint NOT NULL,
  first_seen timestamp NOT NULL, last_seen timestamp NOT NULL,
  PRIMARY KEY (pcg_table, supervoxel, root));
CREATE TABLE matengine.frozen_table (
  analysisversion_id integer NOT NULL REFERENCES analysisversion ON DELETE CASCADE,
  table_name text NOT NULL, row_count bigint NOT NULL, digest text NOT NULL, facts jsonb NOT NULL,
  PRIMARY KEY (analysisversion_id, table_name))
"""


def upgrade() -> None:
    for statements in (_RUNS, _UNITS, _FACTS):
        op.execute(statements)
