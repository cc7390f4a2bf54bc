-- The last hours in steps of :step_seconds: means of what stood, sums of what was done.
SELECT to_timestamp(floor(extract(epoch FROM s.at) / :step_seconds) * :step_seconds) AS at,
       round(avg(s.queued_chunks))::int AS queued,
       round(avg(s.processing_chunks))::int AS processing,
       round(avg(s.running_workers))::int AS workers,
       sum(s.completed_chunks)::bigint AS completed_chunks
FROM fleet_samples s
WHERE s.at BETWEEN now() - make_interval(hours => :hours) AND now() + interval '1 minute'
GROUP BY 1
ORDER BY 1
