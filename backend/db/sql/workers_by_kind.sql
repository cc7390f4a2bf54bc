SELECT kind, count(*) AS workers
FROM workers
WHERE seen_at > now() - make_interval(secs => :silent_seconds)
GROUP BY kind
