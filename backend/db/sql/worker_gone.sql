-- A worker that stops takes its row along, and those of workers that died long ago.
DELETE FROM workers
WHERE worker_id = :worker_id OR seen_at NOT BETWEEN now() - interval '1 day' AND now() + interval '1 day'
