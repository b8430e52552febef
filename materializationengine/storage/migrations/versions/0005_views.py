"""Definitions of views, beside CAVE's list of them: a version builds its own from these."""

from alembic import op

revision = "0005"
down_revision = "0004"

_DEFINITIONS = """
CREATE TABLE matengine.view_definition (
  table_name text PRIMARY KEY, datastack_name text NOT NULL, definition text NOT NULL,
  materialized boolean NOT NULL, created timestamptz NOT NULL DEFAULT clock_timestamp())
"""


def upgrade() -> None:
    op.execute(_DEFINITIONS)
