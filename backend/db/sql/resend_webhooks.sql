-- Messages of a job that were given up are due again at once, with all their tries.
UPDATE webhook_messages
SET due_at = now(), gave_up_at = NULL, failures = 0
WHERE job_id = :job_id AND gave_up_at IS NOT NULL
