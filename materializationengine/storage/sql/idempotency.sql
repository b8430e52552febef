Keys of requests that may come twice.

-- forget --
-- Old keys, those aside that another transaction is about to forget.
DELETE FROM matengine.idempotency WHERE ctid = ANY (ARRAY (
  SELECT ctid FROM matengine.idempotency WHERE created < clock_timestamp() - make_interval(days => $1::int)
  LIMIT 1000 FOR UPDATE SKIP LOCKED))

-- take --
-- Waits for a twin that is under way, whose answer is then there, or whose failure leaves the place.
INSERT INTO matengine.idempotency (user_id, key, digest) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING RETURNING 1

-- first --
SELECT digest, answer::text FROM matengine.idempotency WHERE user_id = $1 AND key = $2

-- keep --
UPDATE matengine.idempotency SET answer = $3::text::jsonb WHERE user_id = $1 AND key = $2
