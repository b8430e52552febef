"""Root history in two halves: which roots a supervoxel had, and when each root was seen."""

from alembic import op

revision = "0008"
down_revision = "0007"

_HALVES = """
CREATE TABLE matengine.root_held (
  supervoxel bigint NOT NULL, root bigint NOT NULL, pcg_table text NOT NULL,
  PRIMARY KEY (supervoxel, root, pcg_table));
CREATE TABLE matengine.root_span (
  pcg_table text NOT NULL, root bigint NOT NULL, first_seen timestamp NOT NULL, last_seen timestamp NOT NULL,
  PRIMARY KEY (pcg_table, root));
INSERT INTO matengine.root_held SELECT supervoxel, root, pcg_table FROM matengine.root_history ORDER BY 1, 2, 3;
INSERT INTO matengine.root_span
SELECT pcg_table, root, min(first_seen), max(last_seen) FROM matengine.root_history GROUP BY 1, 2;
DROP TABLE matengine.root_history;
CREATE VIEW matengine.root_history AS
SELECT s.pcg_table, h.supervoxel, h.root, s.first_seen, s.last_seen
FROM matengine.root_held h JOIN matengine.root_span s ON s.pcg_table = h.pcg_table AND s.root = h.root
"""


def upgrade() -> None:
    op.execute(_HALVES)
