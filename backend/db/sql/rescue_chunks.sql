-- Takes chunks back from workers that died: their lease has run out by the database's clock.
-- Race: the worker completes in this very moment. Whoever locks the row first wins; the other's guard finds no row.
-- A chunk whose job is over (cancelled, failed) does not go back to the queue; one whose job was retried since does.
UPDATE video_analysis_chunks c
SET failures = c.failures + 1,
    status = CASE
        WHEN c.failures + 1 >= :max_attempts OR expired.job_status NOT IN ('queued', 'processing') THEN 'failed'
        ELSE 'queued' END,
    available_at = now() + make_interval(
        secs => least(:cap_seconds, :base_seconds * power(2, least(c.failures, 30))) * (0.5 + random() / 2)),
    lease_expires_at = NULL,
    failed_by = c.claimed_by,
    claimed_by = NULL,
    error_code = 'worker_lost',
    on_hold = false,
    error_message = format(
        'Worker %s stopped without a word (attempt %s, failure %s): last heartbeat %s s ago, %s %% done, last event %s.',
        c.claimed_by, c.attempts, c.failures + 1,
        round(extract(epoch FROM now() - c.lease_expires_at) + :lease_seconds), round(c.progress * 100),
        coalesce(c.last_event, 'unknown'))
FROM (
    SELECT c.id, j.status AS job_status
    FROM video_analysis_chunks c
    JOIN video_analysis_jobs j ON j.id = c.job_id
    WHERE c.status = 'processing' AND c.lease_expires_at < now()
    FOR UPDATE OF c SKIP LOCKED
) expired
WHERE c.id = expired.id
RETURNING c.id AS chunk_id, c.job_id, c.chunk_index, c.attempts, c.failures, c.status, expired.job_status,
          c.error_code, c.error_message, c.deep_mode, c.tenant, c.claim_rank
