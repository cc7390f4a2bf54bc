SELECT asked_to_stop_at FROM workers WHERE worker_id = :worker_id AND asked_to_stop_at IS NOT NULL
