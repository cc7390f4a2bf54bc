-- Race: two processes sign a tenant's first message at once. The unique index lets one secret in.
INSERT INTO webhook_secrets (tenant, secret) VALUES (:tenant, :secret)
ON CONFLICT (tenant) WHERE signs_until IS NULL DO NOTHING
