UPDATE remote_workers SET revoked_at = now() WHERE name = :worker_name AND revoked_at IS NULL RETURNING id
