Statements of queries of a moment, on a live database. They only read.

-- facts --
-- Open writers as a freeze sees them: sessions that have written, in transactions as old as the moment.
-- $1 tables, $2 their segmentation tables, $3 the moment, $4 the name under which pg_stat_activity shows the reader.
-- Prepared: planning the view of activity takes longer than all the rest (m).
SELECT g.last_updated AS mark, a.last_modified AS touched, writers.open AS open_writers
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked (name, segmentation, place)
CROSS JOIN (SELECT EXISTS (SELECT 1 FROM pg_stat_activity
                           WHERE datname = current_database() AND backend_type = 'client backend'
                             AND backend_xid IS NOT NULL AND xact_start <= $3::timestamp AT TIME ZONE 'utc') AS open) AS writers
LEFT JOIN annotation_table_metadata a ON a.table_name = asked.name
LEFT JOIN segmentation_table_metadata g ON g.table_name = asked.segmentation
WHERE (SELECT set_config('application_name', $4, true)) IS NOT NULL
ORDER BY asked.place

-- any_gap --
-- A pass over both primary keys.
SELECT EXISTS (SELECT 1 FROM {annotation} t0 WHERE {gap})

-- past_roots --
-- One probe of the history's key for each supervoxel; a root held between any two moments at which it was seen.
SELECT DISTINCT ON (h.supervoxel) h.supervoxel, h.root
FROM unnest({asked}) AS asked (supervoxel)
JOIN matengine.root_history h ON h.pcg_table = {pcg_table} AND h.supervoxel = asked.supervoxel
WHERE h.first_seen <= {at} AND h.last_seen >= {at}
ORDER BY h.supervoxel, h.root
