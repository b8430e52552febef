Statements of a root update. Its staging tables outlive transactions, so they are logged.

-- create_expired --
CREATE TABLE IF NOT EXISTS {expired} (root bigint PRIMARY KEY)

-- create_looked_up --
CREATE TABLE IF NOT EXISTS {looked_up} (supervoxel bigint PRIMARY KEY, root bigint, asked boolean NOT NULL DEFAULT false)

-- create_born --
-- When a root came to be, as the graph says: it holds its supervoxels from that moment until an edit replaces it.
CREATE TABLE IF NOT EXISTS {born} (root bigint PRIMARY KEY, born timestamp NOT NULL)

-- undated --
SELECT root FROM pg_temp.asked_roots a WHERE NOT EXISTS (SELECT 1 FROM {born} b WHERE b.root = a.root) ORDER BY root

-- fill_born --
INSERT INTO {born} (root, born) SELECT root, born FROM pg_temp.dated ON CONFLICT DO NOTHING

-- stage_supervoxels --
-- Supervoxels whose root has expired or is owed; one scan, or the root's index where few roots expired.
INSERT INTO {looked_up} (supervoxel)
SELECT DISTINCT s.{supervoxel} FROM {segmentation} s
WHERE s.{supervoxel} IS NOT NULL AND ({condition})
ON CONFLICT DO NOTHING

-- stage_ranges --
SELECT min(supervoxel), max(supervoxel), count(*)
FROM (SELECT supervoxel, (row_number() OVER (ORDER BY supervoxel) - 1) / $1::bigint AS batch
      FROM {looked_up} WHERE NOT asked) numbered
GROUP BY batch ORDER BY 1

-- staged_range --
SELECT supervoxel FROM {looked_up}
WHERE supervoxel BETWEEN $1::bigint AND $2::bigint AND NOT asked ORDER BY supervoxel

-- fill_stage --
-- An answer that is no root leaves NULL: such a row must not keep a root of another moment.
INSERT INTO {looked_up} (supervoxel, root, asked) SELECT supervoxel, root, true FROM pg_temp.looked
ON CONFLICT (supervoxel) DO UPDATE SET root = excluded.root, asked = true

-- staged_roots_missing --
-- Supervoxels that came into the table after the scan (an ingest ran beside us).
SELECT DISTINCT s.{supervoxel} FROM {segmentation} s
WHERE s.{supervoxel} IS NOT NULL AND ({condition})
  AND NOT EXISTS (SELECT 1 FROM {looked_up} l WHERE l.supervoxel = s.{supervoxel})

-- build_patch --
CREATE TEMPORARY TABLE patch ON COMMIT DROP AS
SELECT s.id, {patched} FROM {segmentation} s {joins} WHERE {changed}

-- note_replaced --
-- The root that is replaced was last seen true at the table's mark before this run, and held since it came to be.
-- An edit that became visible late shows by a new root that is older than that mark: what was seen since was wrong.
INSERT INTO matengine.root_history AS h (pcg_table, supervoxel, root, first_seen, last_seen)
SELECT DISTINCT $1, s.{supervoxel}, s.{root}, least(b.born, $2::timestamp),
       least($2::timestamp, next.born - interval '1 microsecond')
FROM {segmentation} s JOIN pg_temp.patch p ON p.id = s.id
LEFT JOIN {born} b ON b.root = s.{root} LEFT JOIN {born} next ON next.root = p.{root}
WHERE s.{root} IS NOT NULL AND p.{root} IS DISTINCT FROM s.{root} AND s.{supervoxel} <> 0
ON CONFLICT (pcg_table, supervoxel, root) DO UPDATE
SET first_seen = least(h.first_seen, excluded.first_seen),
    last_seen = CASE WHEN excluded.last_seen < $2::timestamp THEN least(h.last_seen, excluded.last_seen)
                     ELSE greatest(h.last_seen, excluded.last_seen) END

-- note_written --
INSERT INTO matengine.root_history AS h (pcg_table, supervoxel, root, first_seen, last_seen)
SELECT DISTINCT $1, s.{supervoxel}, p.{root}, least(b.born, $2::timestamp), $2::timestamp
FROM {segmentation} s JOIN pg_temp.patch p ON p.id = s.id LEFT JOIN {born} b ON b.root = p.{root}
WHERE p.{root} IS NOT NULL AND p.{root} IS DISTINCT FROM s.{root} AND s.{supervoxel} <> 0
ON CONFLICT (pcg_table, supervoxel, root) DO UPDATE
SET last_seen = greatest(h.last_seen, excluded.last_seen), first_seen = least(h.first_seen, excluded.first_seen)

-- apply_patch --
WITH changed AS (
  UPDATE {segmentation} s SET {assignments} FROM pg_temp.patch p WHERE p.id = s.id RETURNING 1)
SELECT count(*) FROM changed

-- note_owed --
INSERT INTO matengine.unresolved AS u (table_name, annotation_id, column_name, reason, first_seen, last_tried)
SELECT $1, s.id, $2, 'unknown_to_graph', $3::timestamp, $3::timestamp
FROM {segmentation} s JOIN pg_temp.patch p ON p.id = s.id WHERE s.{root} IS NULL AND s.{supervoxel} IS NOT NULL
ON CONFLICT (table_name, annotation_id, column_name)
DO UPDATE SET attempts = u.attempts + 1, last_tried = excluded.last_tried

-- settle --
DELETE FROM matengine.unresolved u USING {segmentation} s
WHERE u.table_name = $1 AND u.annotation_id = s.id AND u.column_name = $2 AND s.{root} IS NOT NULL
