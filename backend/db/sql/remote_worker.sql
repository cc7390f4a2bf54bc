SELECT id, name, token_sha256 FROM remote_workers WHERE id = :id AND revoked_at IS NULL
