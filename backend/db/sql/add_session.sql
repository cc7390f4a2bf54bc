-- No row: the key was revoked, or is over. The session ends when its key does.
INSERT INTO api_sessions (token_sha256, key_id, expires_at)
SELECT :token_sha256, id, least(expires_at, now() + make_interval(secs => CAST(:lasts_sec AS double precision)))
FROM api_keys
WHERE id = :key_id AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
RETURNING CAST(extract(epoch FROM expires_at - now()) AS double precision) AS left_sec
