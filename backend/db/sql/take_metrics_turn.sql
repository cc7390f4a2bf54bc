-- Whose turn it is to send the metrics of this minute. A row comes back for one caller a minute, fleet-wide.
-- Race: several analysis workers ask at once. The advisory lock lets one of them look, the others leave without waiting;
-- the row's own guard decides, so that the next asker within the minute gets nothing. The lock ends with this statement's
-- transaction, as PgBouncer in transaction mode needs.
INSERT INTO metrics_turns (sink, sent_at, sent_by)
SELECT :sink, now(), :worker_id
WHERE pg_try_advisory_xact_lock(:lock_key)
ON CONFLICT (sink) DO UPDATE
SET sent_at = excluded.sent_at, sent_by = excluded.sent_by
WHERE date_trunc('minute', metrics_turns.sent_at) < date_trunc('minute', excluded.sent_at)
   OR metrics_turns.sent_at > excluded.sent_at + interval '1 minute' -- the clock was set back
RETURNING sink
