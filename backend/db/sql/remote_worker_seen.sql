UPDATE remote_workers SET last_seen_at = now() WHERE id = :id RETURNING id
