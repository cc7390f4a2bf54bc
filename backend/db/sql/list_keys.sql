SELECT id, name, tenant, scopes, created_at, expires_at, last_used_at, revoked_at,
    CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'in force' END AS state
FROM api_keys
ORDER BY created_at DESC, id
LIMIT :limit
