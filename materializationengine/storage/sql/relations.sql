Statements about relations that people made.

-- columns --
-- The catalog only. A relation without a readable column is in no row.
SELECT c.relname::text AS relation, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
WHERE n.nspname = 'public' AND c.relkind IN ('v', 'm') AND a.attnum > 0 AND NOT a.attisdropped
  AND c.relname = ANY ({names})
ORDER BY c.relname, a.attnum

-- distinct_texts --
-- One pass over the table for each column.
SELECT DISTINCT {column} AS value FROM {table} t WHERE {condition} ORDER BY 1

-- first_rows --
-- Reads as much of the table as the rows take.
SELECT {columns} FROM {table} a LIMIT {most}
