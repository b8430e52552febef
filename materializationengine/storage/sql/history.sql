Statements on the root history.

-- roots_at --
-- A root's id stands for one set of supervoxels for ever, so it holds between any two moments at which it was seen; the
-- present root was seen at its mark as well. At most one root of a supervoxel can hold at a moment.
SELECT a.place, coalesce(past.root, present.root)
FROM pg_temp.asked a
LEFT JOIN LATERAL (
  SELECT h.root FROM matengine.root_history h
  WHERE h.pcg_table = $1 AND h.supervoxel = a.supervoxel
    AND h.first_seen <= $2::timestamp AND h.last_seen >= $2::timestamp LIMIT 1) past ON true
LEFT JOIN LATERAL (
  SELECT a.root WHERE $3::timestamp = $2::timestamp OR EXISTS (
    SELECT 1 FROM matengine.root_span s
    WHERE s.pcg_table = $1 AND s.root = a.root
      AND least(s.first_seen, $3::timestamp) <= $2::timestamp
      AND greatest(s.last_seen, $3::timestamp) >= $2::timestamp)) present ON true
WHERE past.root IS NOT NULL OR present.root IS NOT NULL
ORDER BY a.place
