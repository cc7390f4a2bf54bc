-- A process that begins under an id that was there before is another one: what that one was asked is not asked of it.
UPDATE workers SET asked_to_stop_at = NULL, started_at = now() WHERE worker_id = :worker_id RETURNING worker_id
