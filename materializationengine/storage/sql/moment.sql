Statements of queries of a moment, on a live database. They only read.

-- mark --
SELECT last_updated FROM segmentation_table_metadata WHERE table_name = $1

-- touched --
SELECT last_modified FROM annotation_table_metadata WHERE table_name = $1

-- open_writers --
-- As a freeze sees them: sessions that have written, in transactions as old as the moment.
SELECT EXISTS (SELECT 1 FROM pg_stat_activity
               WHERE datname = current_database() AND backend_type = 'client backend' AND backend_xid IS NOT NULL
                 AND xact_start <= $1::timestamp AT TIME ZONE 'utc')

-- held_roots --
-- One probe of the index for each root.
SELECT root FROM unnest({roots}) AS asked (root)
WHERE EXISTS (SELECT 1 FROM {segmentation} s WHERE s.{column} = asked.root)

-- any_gap --
-- A pass over both primary keys.
SELECT EXISTS (SELECT 1 FROM {annotation} t0 WHERE {gap})
