Firings of schedules, in the home database. A slot has one row, whoever decides it first.

-- last_slot --
SELECT max(slot) FROM matengine.firing WHERE schedule = $1

-- decide --
INSERT INTO matengine.firing (schedule, slot, outcome, reason) VALUES ($1, $2::timestamptz, $3, $4)
ON CONFLICT (schedule, slot) DO NOTHING
RETURNING slot

-- settle --
UPDATE matengine.firing SET outcome = $3, reason = $4, runs = $5::jsonb, decided = clock_timestamp()
WHERE schedule = $1 AND slot = $2::timestamptz AND outcome = 'PENDING'

-- unsettled --
-- Somebody took the slot and has not said what came of it; after a while another takes it over. What that starts
-- has the same run ids, so nothing is started twice.
UPDATE matengine.firing SET decided = clock_timestamp()
WHERE schedule = $1 AND outcome = 'PENDING' AND decided < clock_timestamp() - make_interval(secs => $2::float8)
RETURNING slot

-- firings --
SELECT schedule, slot, outcome, reason, runs::text, decided FROM matengine.firing
WHERE $1::text IS NULL OR schedule = $1 ORDER BY slot DESC, schedule LIMIT $2::bigint

-- readable_versions --
SELECT count(*) FROM analysisversion
WHERE datastack = $1 AND status = 'AVAILABLE' AND valid AND parent_version IS NULL
