SELECT t.name, t.open_jobs_max, t.bytes_max, t.frames_max, t.cpu_seconds_max, t.allowed_prefixes, (
    SELECT count(*) FROM api_keys k
    WHERE k.tenant = t.name AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
) AS keys
FROM tenants t
ORDER BY t.name
LIMIT :limit
