Statements about what the tables of a version hold.

-- records --
-- One pass over the table. The server only writes the records: hashing them there costs twice as much, since it has no
-- way from a digest to a number but by its hexadecimal digits (m: 2.3 s of a core for a million synapses against 1.0 s).
SELECT record_send(ROW({columns})) AS record FROM ({select}) AS a WHERE {part}

-- version --
-- A virtual version's rows are its parent's.
SELECT v.time_stamp, v.is_merged IS NOT false, coalesce(p.datastack, v.datastack), coalesce(p.version, v.version)
FROM analysisversion v LEFT JOIN analysisversion p ON p.id = v.parent_version
WHERE v.datastack = $1 AND v.version = $2::int AND v.status IN ('AVAILABLE', 'EXPIRED')

-- tables --
SELECT t.table_name, t.schema, f.row_count, f.facts ->> 'content'
FROM analysisversion v JOIN analysistables t ON t.analysisversion_id = v.id AND t.valid
LEFT JOIN matengine.frozen_table f
  ON f.analysisversion_id = coalesce(v.parent_version, v.id) AND f.table_name = t.table_name
WHERE v.datastack = $1 AND v.version = $2::int ORDER BY t.table_name

-- newest_revision --
SELECT max(revision) FROM matengine.version_revision WHERE analysisversion_id = :id
