-- The worker reads it when it says the next time that it is alive, and drains.
UPDATE workers SET asked_to_stop_at = coalesce(asked_to_stop_at, now()) WHERE worker_id = :worker_id RETURNING worker_id
