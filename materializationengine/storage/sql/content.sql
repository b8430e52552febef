Statements about what the tables of a version hold.

-- digest --
-- One pass over the table; sums of bigints are exact numbers of any length. Without OFFSET the planner would write the
-- hash out wherever it is mentioned, and make it four times (m: 9.8 s of a core for a million synapses against 2.8 s).
SELECT count(*), coalesce(sum(substring(h FROM 1 FOR 64)::bigint), 0)::text,
       coalesce(sum(substring(h FROM 65 FOR 64)::bigint), 0)::text,
       coalesce(sum(substring(h FROM 129 FOR 64)::bigint), 0)::text,
       coalesce(sum(substring(h FROM 193 FOR 64)::bigint), 0)::text
FROM (SELECT ('x' || encode(sha256(record_send(ROW({columns}))), 'hex'))::bit(256) AS h
      FROM ({select}) AS a WHERE $2::int = 1 OR abs(a.id % $2::int) = $1::int OFFSET 0) AS hashed

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
