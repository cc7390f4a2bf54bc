-- Messages whose next try is due, longest due first, except of hosts and tenants that have all the tries in flight here
-- that they may have. Nothing is taken yet.
SELECT m.id, m.tenant, coalesce(m.host, '') AS host
FROM webhook_messages m
WHERE m.due_at <= now()
  AND coalesce(m.host, '') <> ALL (CAST(:full_hosts AS text[]))
  AND m.tenant <> ALL (CAST(:full_tenants AS text[]))
-- +one AND m.job_id = :job_id
ORDER BY m.due_at
LIMIT :limit
