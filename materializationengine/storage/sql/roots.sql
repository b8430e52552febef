Statements of a root update. Its staging tables outlive transactions, so they are logged.

-- create_expired --
CREATE TABLE {expired} (root bigint PRIMARY KEY)

-- create_answers --
-- Filled by look-ups side by side, each range once, and read as a whole: an index would only cost. `held` is a root that
-- the supervoxel had, and that is remembered by now.
CREATE TABLE {answers} (supervoxel bigint NOT NULL, root bigint, held bigint)

-- create_born --
-- When a root came to be, as the graph says: it holds its supervoxels from that moment until an edit replaces it. A root
-- may stand here twice: look-ups side by side meet the same roots, and with a key one would wait for the other's end.
CREATE TABLE {born} (root bigint NOT NULL, born timestamp NOT NULL)

-- undated --
SELECT root FROM pg_temp.asked_roots a WHERE NOT EXISTS (SELECT 1 FROM {born} b WHERE b.root = a.root) ORDER BY root

-- fill_born --
-- There is a key where an earlier release planned the run, or made the table.
INSERT INTO {born} (root, born) SELECT root, born FROM pg_temp.dated ON CONFLICT DO NOTHING

-- stage_supervoxels --
-- What must be asked, with the root that it has now, of all tables at once. Sorted, so its index is built in one go.
CREATE TABLE {asked} AS
SELECT DISTINCT supervoxel, held FROM ({parts}) p WHERE supervoxel IS NOT NULL ORDER BY supervoxel

-- index_staged --
-- By page ranges, since the rows lie in this order; it also tells the planner how many they are.
CREATE INDEX ON {asked} USING brin (supervoxel)

-- analyze_staged --
-- That they lie in this order, without which the planner would rather read all of them for each range.
ANALYZE {asked} (supervoxel)

-- all_supervoxels --
SELECT s.{supervoxel} AS supervoxel, {held} AS held FROM {segmentation} s

-- outdated_supervoxels --
-- Roots that expired, by their index where they are few, and roots that are owed.
SELECT s.{supervoxel} AS supervoxel, {held} AS held FROM {segmentation} s JOIN {expired} e ON e.root = s.{root}
UNION ALL SELECT s.{supervoxel}, NULL FROM {segmentation} s WHERE s.{root} IS NULL

-- count_staged --
SELECT count(*) FROM {asked}

-- range_starts --
-- The first supervoxel of every batch, by its place on disk, where the rows lie in their order: counting them would cost
-- a sort. Rows without a root are shorter, so a batch is about as long as another; one where supervoxels have several
-- roots may be longer by them.
SELECT supervoxel FROM {asked} WHERE ctid = ANY (ARRAY(
  SELECT format('(%s,%s)', place / lines, place % lines + 1)::tid
  FROM generate_series(0::bigint, $1::bigint - 1, $2::bigint) AS place,
       (SELECT count(*) AS lines FROM {asked} WHERE ctid < '(1,0)'::tid) AS page))

-- staged_range --
SELECT supervoxel, held FROM {asked} WHERE supervoxel BETWEEN $1::bigint AND $2::bigint ORDER BY supervoxel

-- hold_roots --
-- That a supervoxel was in a root is true for ever: it may stand here before the update is done, or if it never is. Roots
-- do not come back, so none of these is known, but after an update that broke off; and a plain INSERT costs half (m).
DO $hold$ BEGIN
  INSERT INTO matengine.root_held (supervoxel, root, pcg_table)
  SELECT supervoxel, root, {pcg_table} FROM pg_temp.held;
EXCEPTION WHEN unique_violation THEN
  INSERT INTO matengine.root_held (supervoxel, root, pcg_table)
  SELECT supervoxel, root, {pcg_table} FROM pg_temp.held ON CONFLICT DO NOTHING;
END $hold$

-- outdated_rows --
-- Rows with a root that expired or is owed in this column, by its index.
SELECT s.id, {columns} FROM {segmentation} s JOIN {expired} e ON e.root = s.{root}
UNION SELECT s.id, {columns} FROM {segmentation} s WHERE s.{root} IS NULL

-- outdated_among_all --
-- The same rows by one pass over the table, each once without a look at its columns twice: where they are many.
SELECT s.id, {columns} FROM {segmentation} s WHERE {outdated}

-- is_outdated --
({root} IS NULL OR {root} IN (SELECT root FROM {expired}))

-- staged_share --
-- What was staged against the rows of the table, as the planner knows them.
SELECT (SELECT reltuples FROM pg_class WHERE oid = {asked}::regclass)
  / greatest(1, (SELECT reltuples FROM pg_class WHERE oid = {segmentation}::regclass))

-- build_patch --
-- Rows whose answer differs, and rows that should have been asked and were not (late). In the order of their ids, which
-- is that of the table on disk, so that the update goes through its pages once.
CREATE TEMPORARY TABLE patch ON COMMIT DROP AS
SELECT {columns} FROM {source} t {joins} WHERE {wanted} ORDER BY t.id

-- apply_patch --
UPDATE {segmentation} s SET {assignments} FROM pg_temp.patch p WHERE p.id = s.id

-- patch_facts --
-- One look for what is mostly not there, so that nobody looks for each of it in vain.
SELECT count(*), coalesce(bool_or({late}), false), coalesce(bool_or({owed}), false), coalesce(bool_or({unheld}), false)
FROM pg_temp.patch

-- late_supervoxels --
SELECT DISTINCT {supervoxel} FROM pg_temp.patch WHERE {late} ORDER BY 1

-- gather_changes --
-- Which root became which, of all points: far fewer than rows.
CREATE TEMPORARY TABLE changes ON COMMIT DROP AS SELECT DISTINCT root, following FROM ({parts}) p

-- changed_roots --
SELECT {old} AS root, {new} AS following FROM pg_temp.patch WHERE {new} IS DISTINCT FROM {old} AND {supervoxel} <> 0

-- note_replaced --
-- The root that is replaced was last seen true at the table's mark before this run, and held since it came to be.
-- An edit that became visible late shows by a new root that is older than that mark: what was seen since was wrong.
INSERT INTO matengine.root_span AS h (pcg_table, root, first_seen, last_seen)
SELECT $1, p.root, min(least(b.born, $2::timestamp)), min(least($2::timestamp, next.born - interval '1 microsecond'))
FROM pg_temp.changes p
LEFT JOIN {born} b ON b.root = p.root LEFT JOIN {born} next ON next.root = p.following
WHERE p.root <> 0 GROUP BY p.root
ON CONFLICT (pcg_table, root) DO UPDATE
SET first_seen = least(h.first_seen, excluded.first_seen),
    last_seen = CASE WHEN excluded.last_seen < $2::timestamp THEN least(h.last_seen, excluded.last_seen)
                     ELSE greatest(h.last_seen, excluded.last_seen) END

-- note_written --
INSERT INTO matengine.root_span AS h (pcg_table, root, first_seen, last_seen)
SELECT $1, p.following, min(least(b.born, $2::timestamp)), $2::timestamp
FROM pg_temp.changes p LEFT JOIN {born} b ON b.root = p.following
WHERE p.following <> 0 GROUP BY p.following
ON CONFLICT (pcg_table, root) DO UPDATE
SET last_seen = greatest(h.last_seen, excluded.last_seen), first_seen = least(h.first_seen, excluded.first_seen)

-- hold_late --
-- What came into the table after the scan.
INSERT INTO matengine.root_held (supervoxel, root, pcg_table)
SELECT DISTINCT p.supervoxel, p.root, $1 FROM ({replaced}) p
WHERE NOT EXISTS (SELECT 1 FROM {asked} a WHERE a.supervoxel = p.supervoxel AND a.held = p.root)
ON CONFLICT DO NOTHING

-- replaced_roots --
SELECT {supervoxel} AS supervoxel, {old} AS root FROM pg_temp.patch WHERE {unheld}

-- is_unheld --
-- A root that is replaced and that no look-up remembered, as far as the answer tells.
({old} <> 0 AND {supervoxel} <> 0 AND {new} IS DISTINCT FROM {old} AND {old} IS DISTINCT FROM {held})

-- is_owed --
({new} IS NULL AND {supervoxel} IS NOT NULL)

-- note_owed --
INSERT INTO matengine.unresolved AS u (table_name, annotation_id, column_name, reason, first_seen, last_tried)
SELECT DISTINCT $1, id, $2, 'unknown_to_graph', $3::timestamp, $3::timestamp
FROM pg_temp.patch WHERE {owed}
ON CONFLICT (table_name, annotation_id, column_name)
DO UPDATE SET attempts = u.attempts + 1, last_tried = excluded.last_tried

-- settle --
DELETE FROM matengine.unresolved u USING {segmentation} s
WHERE u.table_name = $1 AND u.annotation_id = s.id AND u.column_name = $2 AND s.{root} IS NOT NULL
