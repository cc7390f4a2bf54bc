SELECT count(*) FROM workers
WHERE trouble IS NOT NULL AND seen_at > now() - make_interval(secs => :silent_seconds)
