-- A callback was not delivered. The last word on a job is tried again after pauses that grow, :most times. Progress is
-- told again as it is then; its pauses stay short, so that the last word does not wait for them.
UPDATE video_analysis_jobs
SET callback_url = CASE
        WHEN :is_final AND status = :status AND status IN ('done', 'cancelled') AND callback_failures + 1 >= :most
        THEN regexp_replace(callback_url, '^(https?://[^/?#]*).*$', '\1', 'i') ELSE callback_url END,
    callback_failures = CASE WHEN :is_final THEN callback_failures + 1 ELSE least(callback_failures + 1, 3) END,
    callback_due_at = CASE
        WHEN :most = 0 OR (:is_final AND status = :status AND callback_failures + 1 >= :most) THEN NULL
        ELSE now() + make_interval(secs => least(:cap_seconds, :base_seconds * power(2, least(callback_failures, 20))))
    END
WHERE id = :job_id
RETURNING callback_due_at IS NULL AS is_given_up
