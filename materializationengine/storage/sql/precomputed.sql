Statements about annotations for Neuroglancer.

-- texts --
-- One pass over the table, which ends early where there are too many.
SELECT DISTINCT a.{column}::text AS value FROM {rows} WHERE a.{column} IS NOT NULL LIMIT {most}
