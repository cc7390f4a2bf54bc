-- How a try of a message ended. Zero rows: another process has begun the next one, or the job is deleted.
UPDATE webhook_messages
SET failures = CASE WHEN :delivered THEN 0 ELSE failures + 1 END,
    delivered_at = CASE WHEN :delivered THEN now() END,
    gave_up_at = CASE WHEN :ends AND NOT :delivered THEN now() END,
    due_at = CASE WHEN :ends OR :delivered THEN NULL ELSE now() + make_interval(secs => :pause_seconds) END,
    attempts = CASE WHEN jsonb_array_length(attempts) >= :kept THEN attempts - 0 ELSE attempts END
               || jsonb_build_array(CAST(:attempt AS jsonb))
WHERE id = :id AND tries = :tries AND due_at IS NOT NULL
RETURNING id
