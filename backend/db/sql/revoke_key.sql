WITH revoked AS (
    UPDATE api_keys SET revoked_at = now() WHERE name = :key_name AND revoked_at IS NULL RETURNING id
), ended AS (
    DELETE FROM api_sessions WHERE key_id IN (SELECT id FROM revoked)
)
SELECT id FROM revoked
