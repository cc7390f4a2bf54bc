DELETE FROM api_sessions WHERE token_sha256 = :token_sha256 RETURNING key_id
