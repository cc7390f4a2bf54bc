-- A callback was delivered. The last word on a job is delivered once (due: null); all else is due again.
-- Then the address is forgotten but for its host: the rest is often a secret. A failed job may be retried, and told of.
-- Race: the job is retried, or ends, while it was told: then its new state is due at once.
UPDATE video_analysis_jobs
SET callback_url = CASE
        WHEN :is_final AND status = :status AND status IN ('done', 'cancelled')
        THEN regexp_replace(callback_url, '^(https?://[^/?#]*).*$', '\1', 'i') ELSE callback_url END,
    callback_told = :told,
    callback_failures = 0,
    callback_due_at = CASE
        WHEN status <> :status THEN now()
        WHEN :is_final THEN NULL
        ELSE now() + make_interval(secs => :again_seconds)
    END
WHERE id = :job_id
