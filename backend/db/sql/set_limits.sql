UPDATE tenants
SET open_jobs_max = :open_jobs_max,
    bytes_max = :bytes_max,
    frames_max = :frames_max,
    cpu_seconds_max = :cpu_seconds_max
WHERE name = :name
