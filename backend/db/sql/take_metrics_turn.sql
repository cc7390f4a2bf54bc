-- Whose turn it is to send the metrics of this time of :turn_seconds. A row comes back for one caller in it, fleet-wide.
-- Race: several analysis workers ask at once. The advisory lock lets one of them look, the others leave without waiting;
-- the row's own guard decides, so that the next asker within that time gets nothing. The lock ends with this statement's
-- transaction, as PgBouncer in transaction mode needs.
INSERT INTO metrics_turns (sink, sent_at, sent_by)
SELECT :sink, now(), :worker_id
WHERE pg_try_advisory_xact_lock(:lock_key)
ON CONFLICT (sink) DO UPDATE
SET sent_at = excluded.sent_at, sent_by = excluded.sent_by
WHERE floor(extract(epoch FROM metrics_turns.sent_at) / :turn_seconds)
      < floor(extract(epoch FROM excluded.sent_at) / :turn_seconds)
   OR metrics_turns.sent_at > excluded.sent_at + interval '1 minute' -- the clock was set back
RETURNING sink
