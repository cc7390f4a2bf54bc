-- A worker says that it is alive, by the database's clock. No indexed column changes: the row is rewritten in place.
-- A process that begins under an id that was there before is another one: what that one was asked is not asked of it.
INSERT INTO workers (worker_id, kind)
VALUES (:worker_id, :kind)
ON CONFLICT (worker_id) DO UPDATE
SET seen_at = now(),
    started_at = CASE WHEN :begins THEN now() ELSE workers.started_at END,
    asked_to_stop_at = CASE WHEN :begins THEN NULL ELSE workers.asked_to_stop_at END
RETURNING asked_to_stop_at IS NOT NULL AS is_asked_to_stop
