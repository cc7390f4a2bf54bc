-- All that are over, and of this key all but the last ones.
DELETE FROM api_sessions
WHERE expires_at < now() OR token_sha256 IN (
    SELECT token_sha256 FROM api_sessions WHERE key_id = :key_id ORDER BY created_at DESC OFFSET :most
)
