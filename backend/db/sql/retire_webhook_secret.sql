-- The tenant's present secret goes on signing for so long, beside the one that follows it. Those before it keep their end,
-- or have it sooner.
UPDATE webhook_secrets
SET signs_until = least(signs_until, now() + make_interval(secs => :overlap_seconds))
WHERE tenant = :tenant AND (signs_until IS NULL OR signs_until > now())
