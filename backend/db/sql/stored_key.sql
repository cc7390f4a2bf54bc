-- What a request's key is compared with; the database's clock says what is left of it.
SELECT k.id, k.name, k.tenant, k.scopes, k.secret_sha256,
    k.revoked_at IS NOT NULL AS is_revoked,
    CAST(extract(epoch FROM k.expires_at - now()) AS double precision) AS left_sec,
    coalesce(k.last_used_at > now() - interval '10 minutes', false) AS is_noted
FROM api_keys k
