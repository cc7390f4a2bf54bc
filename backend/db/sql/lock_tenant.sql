-- Race: two people change different limits of one tenant at once; neither change may be lost.
SELECT name, open_jobs_max, bytes_max, frames_max, cpu_seconds_max FROM tenants WHERE name = :name FOR UPDATE
