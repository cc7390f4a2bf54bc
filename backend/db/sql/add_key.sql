-- No row: the name is taken by a key that is not revoked, or the key is there already.
INSERT INTO api_keys (id, name, tenant, scopes, secret_sha256, expires_at)
VALUES (:id, :name, :tenant, :scopes, :secret_sha256, now() + make_interval(secs => CAST(:lasts_sec AS double precision)))
ON CONFLICT DO NOTHING
RETURNING id
