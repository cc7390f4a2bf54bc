-- Locks one lane whose floor has not been looked at for a while; nobody waits for a lane that another is looking at.
-- The look itself (raise_floor.sql) must be a new statement: only its snapshot sees all that the lock waited for.
SELECT deep_mode, tenant, floor_rank, checked_at < now() - make_interval(secs => :check_seconds) AS from_the_start
FROM queue_lanes
WHERE (raised_at < now() - make_interval(secs => :raise_seconds)
       OR checked_at < now() - make_interval(secs => :check_seconds))
  AND (CAST(:deep_mode AS text) IS NULL OR (deep_mode = :deep_mode AND tenant = :tenant))
ORDER BY checked_at
LIMIT 1
FOR NO KEY UPDATE SKIP LOCKED
