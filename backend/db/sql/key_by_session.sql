-- @stored_key
JOIN api_sessions s ON s.key_id = k.id
WHERE s.token_sha256 = :token_sha256 AND s.expires_at > now()
