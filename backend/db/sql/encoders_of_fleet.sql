-- What each living worker of that kind can encode with its hardware.
SELECT encoders
FROM workers
WHERE kind = :kind AND schema_version >= :schema_version AND asked_to_stop_at IS NULL AND trouble IS NULL
  AND seen_at > now() - make_interval(secs => :silent_seconds)
