-- Locks one lane whose floor is due: the named one for a raise; without a name the one that waits longest for a check.
-- Nobody waits for a lane that another is looking at. The look itself (raise_floor.sql) must be a new statement: only its
-- snapshot sees all that the lock waited for.
-- A time of the future was written before the clock was set back: it counts as none.
SELECT deep_mode, tenant, floor_rank,
       checked_at NOT BETWEEN now() - make_interval(secs => :check_seconds) AND now() + interval '1 minute' AS from_the_start
FROM queue_lanes
WHERE CASE WHEN CAST(:tenant AS text) IS NULL
           THEN checked_at NOT BETWEEN now() - make_interval(secs => :check_seconds) AND now() + interval '1 minute'
           ELSE deep_mode = :deep_mode AND tenant = :tenant
                AND raised_at NOT BETWEEN now() - make_interval(secs => :raise_seconds) AND now() + interval '1 minute'
      END
ORDER BY checked_at
LIMIT 1
FOR NO KEY UPDATE SKIP LOCKED
