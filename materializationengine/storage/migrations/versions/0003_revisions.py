"""Revisions of versions: what was mended after publication, by which run."""

from alembic import op

revision = "0003"
down_revision = "0002"

_REVISIONS = """
CREATE TABLE matengine.version_revision (
  analysisversion_id integer NOT NULL REFERENCES analysisversion ON DELETE CASCADE,
  revision integer NOT NULL, run_id text NOT NULL UNIQUE, mended jsonb NOT NULL,
  made timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (analysisversion_id, revision))
"""


def upgrade() -> None:
    op.execute(_REVISIONS)
