"""What operation keeps: pauses, firings of schedules, pins, graph tokens, and what a run was asked and expected."""

from alembic import op

revision = "0004"
down_revision = "0003"

_TABLES = """
CREATE TABLE matengine.pause (
  scope text PRIMARY KEY, since timestamptz NOT NULL DEFAULT clock_timestamp(),
  paused_by text NOT NULL, reason text NOT NULL);
CREATE TABLE matengine.firing (
  schedule text NOT NULL, slot timestamptz NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('REGISTERED', 'PENDING', 'FIRED', 'SKIPPED')),
  reason text NOT NULL DEFAULT '', runs jsonb NOT NULL DEFAULT '[]',
  decided timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (schedule, slot));
CREATE TABLE matengine.pin (
  analysisversion_id integer PRIMARY KEY REFERENCES analysisversion ON DELETE CASCADE,
  pinned_by text NOT NULL, since timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE matengine.token_bucket (
  name text PRIMARY KEY, tokens float8 NOT NULL, refilled timestamptz NOT NULL);
ALTER TABLE matengine.run ADD COLUMN request jsonb, ADD COLUMN estimate jsonb, ADD COLUMN notified timestamptz
"""


def upgrade() -> None:
    op.execute(_TABLES)
