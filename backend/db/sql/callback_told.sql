-- A callback was delivered. The last word on a job is delivered once (due: null); all else is due again.
-- Race: the job is retried, or ends, while it was told: then its new state is due at once.
UPDATE video_analysis_jobs
SET callback_told = :told,
    callback_failures = 0,
    callback_due_at = CASE
        WHEN status <> :status THEN now()
        WHEN :is_final THEN NULL
        ELSE now() + make_interval(secs => :again_seconds)
    END
WHERE id = :job_id
