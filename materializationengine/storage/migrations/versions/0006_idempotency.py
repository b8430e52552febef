"""Keys under which callers may send a request twice, kept in the transaction that did the deed."""

from alembic import op

revision = "0006"
down_revision = "0005"

_KEYS = """
CREATE TABLE matengine.idempotency (
  user_id text NOT NULL, key text NOT NULL, digest text NOT NULL, answer jsonb,
  created timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (user_id, key))
"""


def upgrade() -> None:
    op.execute(_KEYS)
    op.execute("CREATE INDEX idempotency_created ON matengine.idempotency (created)")
