-- The secrets that sign a tenant's messages now, the newest first.
SELECT secret, signs_until FROM webhook_secrets
WHERE tenant = :tenant AND (signs_until IS NULL OR signs_until > now())
ORDER BY signs_until IS NULL DESC, id DESC
