-- A worker says that it is alive, by the database's clock. No indexed column changes: the row is rewritten in place.
INSERT INTO workers (worker_id, kind)
VALUES (:worker_id, :kind)
ON CONFLICT (worker_id) DO UPDATE SET seen_at = now()
