-- A worker that stops takes its row along, and those of workers that died long ago.
DELETE FROM workers
WHERE worker_id = :worker_id OR seen_at < now() - interval '1 day'
