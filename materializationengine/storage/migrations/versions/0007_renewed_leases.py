"""Leases that a worker renews while its unit lasts, beside the unit's row, which its own transaction holds."""

from alembic import op

revision = "0007"
down_revision = "0006"

# Lost with a crash of the server, and with it the workers' connections; so it need not be logged.
_LEASES = """
CREATE UNLOGGED TABLE matengine.renewed_lease (
  unit_id bigint PRIMARY KEY, attempt integer NOT NULL, until timestamptz NOT NULL)
"""


def upgrade() -> None:
    op.execute(_LEASES)
