-- What a tenant may use: its own limits, else those given. Null: as much as it likes.
SELECT coalesce(t.open_jobs_max, CAST(:open_jobs AS integer)) AS open_jobs,
       coalesce(t.bytes_max, CAST(:bytes AS bigint)) AS bytes,
       coalesce(t.frames_max, CAST(:frames AS bigint)) AS frames,
       coalesce(t.cpu_seconds_max, CAST(:cpu_seconds AS float8)) AS cpu_seconds
FROM (SELECT) AS one
LEFT JOIN tenants t ON t.name = :tenant
