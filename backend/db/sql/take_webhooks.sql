-- The next try of these messages is this process's. The row's lock and the new time give each to one process; should that
-- one die, the message is due again after the hold. `tries` is the fence: what a process says of an older try is dropped.
UPDATE webhook_messages m
SET tries = m.tries + 1,
    due_at = now() + make_interval(secs => :hold_seconds)
FROM (
    SELECT id FROM webhook_messages
    WHERE id = ANY (CAST(:ids AS uuid[])) AND due_at <= now()
    FOR UPDATE SKIP LOCKED
) due
JOIN webhook_messages old ON old.id = due.id
JOIN video_analysis_jobs j ON j.id = old.job_id
WHERE m.id = due.id
RETURNING m.id, m.job_id, m.tenant, m.type, coalesce(m.host, '') AS host, m.facts, m.body, m.tries, m.failures,
    m.created_at, j.webhook_url AS url, CAST(extract(epoch FROM now()) AS bigint) AS sent_at
