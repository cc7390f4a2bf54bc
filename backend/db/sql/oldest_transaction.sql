-- The oldest open transaction of this database: while it is open, no dead row that is younger can be swept.
-- A role without pg_read_all_stats sees only its own.
SELECT pid, state, application_name, seconds
FROM (
    SELECT pid, state, application_name, extract(epoch FROM clock_timestamp() - xact_start) AS seconds
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
      AND coalesce(backend_type, '') <> 'autovacuum worker'  -- holds nothing back
    UNION ALL
    SELECT NULL, 'prepared', gid, extract(epoch FROM clock_timestamp() - prepared)
    FROM pg_prepared_xacts
    WHERE database = current_database()
) open_transactions
ORDER BY seconds DESC
LIMIT 1
