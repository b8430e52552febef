Statements on given rows of a live table, and on rows whose root is missing or wrong.

-- missing_given --
SELECT a.id, {columns} FROM {annotation} a LEFT JOIN {segmentation} s ON s.id = a.id
WHERE a.id = ANY ($1::bigint[]) AND {missing}
ORDER BY a.id

-- clear_given --
DELETE FROM matengine.unresolved WHERE table_name = $1 AND annotation_id = ANY ($2::bigint[])
  AND NOT EXISTS (SELECT 1 FROM pg_temp.owed o
                  WHERE o.annotation_id = unresolved.annotation_id AND o.column_name = unresolved.column_name)

-- rootless_ranges --
-- The last id of every batch of rows with a supervoxel and no root; a scan of one table, no lock.
SELECT min(id), max(id), count(*)
FROM (SELECT s.id, (row_number() OVER (ORDER BY s.id) - 1) / $1::bigint AS batch
      FROM {segmentation} s WHERE {rootless}) numbered
GROUP BY batch ORDER BY 1

-- rootless_extent --
SELECT min(s.id), max(s.id), count(*) FROM {segmentation} s WHERE {rootless}

-- rootless_rows --
SELECT s.id, {columns} FROM {segmentation} s
WHERE s.id BETWEEN $1::bigint AND $2::bigint AND {rootless} ORDER BY s.id

-- settle_given --
DELETE FROM matengine.unresolved u USING {segmentation} s
WHERE u.table_name = $1 AND u.column_name = $2 AND u.annotation_id BETWEEN $3::bigint AND $4::bigint
  AND s.id = u.annotation_id AND s.{root} IS NOT NULL

-- note_removed --
-- A root taken away is owed, with its reason, until a look-up fills it again.
INSERT INTO matengine.unresolved AS u (table_name, annotation_id, column_name, reason, first_seen, last_tried)
SELECT $1, s.id, $2, 'removed_as_bad', $3::timestamp, $3::timestamp
FROM {segmentation} s WHERE s.{root} = ANY ($4::bigint[])
ON CONFLICT (table_name, annotation_id, column_name)
DO UPDATE SET reason = excluded.reason, last_tried = excluded.last_tried

-- forget_history --
-- Nobody vouches any more for a root that was wrong.
DELETE FROM matengine.root_span WHERE pcg_table = $1 AND root = ANY ($2::bigint[])

-- forget_held --
DELETE FROM matengine.root_held h USING {segmentation} s
WHERE h.pcg_table = $1 AND s.{root} = ANY ($2::bigint[]) AND h.supervoxel = s.{supervoxel} AND h.root = s.{root}

-- remove_roots --
WITH changed AS (
  UPDATE {segmentation} s SET {root} = NULL WHERE s.{root} = ANY ($1::bigint[]) RETURNING 1)
SELECT count(*) FROM changed
