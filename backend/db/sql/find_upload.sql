SELECT id, tenant, name, content_type, size_bytes, part_bytes, sha256, checks_parts, handle, state, created_at, expires_at
FROM uploads WHERE id = :id AND tenant = :tenant AND state <> 'aborted' AND handle IS NOT NULL
