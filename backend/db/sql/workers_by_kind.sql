-- Who was seen in the future was seen before the clock was set back; if it lives, it is seen again in a moment.
SELECT kind, count(*) AS workers
FROM workers
WHERE seen_at BETWEEN now() - make_interval(secs => :silent_seconds) AND now() + interval '1 minute'
GROUP BY kind
