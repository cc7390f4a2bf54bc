-- Race: two requests with one Idempotency-Key at the same moment. One gets a row, the other none. A row whose process
-- died is taken over after a while, and swept by whoever comes a day later.
WITH swept AS (
    DELETE FROM requests_in_flight
    WHERE begun_at < now() - interval '1 day'
      AND (tenant, idempotency_key) <> (:tenant, :idempotency_key)
)
INSERT INTO requests_in_flight AS r (tenant, idempotency_key, token)
VALUES (:tenant, :idempotency_key, :token)
ON CONFLICT (tenant, idempotency_key) DO UPDATE SET token = excluded.token, begun_at = now()
    WHERE r.begun_at < now() - make_interval(secs => :patience_seconds)
RETURNING r.token
