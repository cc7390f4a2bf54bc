-- How far jobs are, from their chunks alone, in one snapshot. Pace, progress and time left are those of the phase that a
-- job is in; completed and failed chunks are counted over all. What is left is counted in seconds of one worker's time.
-- A job's pace (seconds of work for a second of video) is the median of its own chunks: those completed, and those in
-- work that are far enough to tell. Median, because a chunk whose result was there already takes no time at all.
-- Progress of a chunk never falls, so of one that is worked on anew it tells nothing about this try; its clock does.
WITH chunk AS (
    SELECT c.job_id, c.status, c.progress, c.attempts, c.completed_at, c.phase = j.phase AS is_now,
           greatest(c.end_sec - c.start_sec, 0.001) AS video_sec,
           CASE WHEN c.status = 'completed' THEN c.runtime_ms / 1000.0 END AS took_sec,
           CASE WHEN c.status = 'processing' AND c.lease_expires_at > now()
                THEN extract(epoch FROM now() - c.started_at)::float8 END AS at_it_sec,
           CASE WHEN c.status = 'queued' AND c.phase = j.phase THEN c.available_at END AS due_at,
           CASE WHEN c.status = 'queued' AND c.phase = j.phase THEN coalesce(c.needs, '') END AS needs
    FROM video_analysis_chunks c
    JOIN video_analysis_jobs j ON j.id = c.job_id
    WHERE c.job_id = ANY (:job_ids)
), pace AS (
    SELECT job_id,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY coalesce(took_sec, at_it_sec / progress) / video_sec) AS value
    FROM chunk
    WHERE job_id = ANY (:live_ids) AND is_now AND (took_sec > 0 OR (at_it_sec > 0 AND attempts = 1 AND progress >= 0.1))
    GROUP BY job_id
), todo AS (
    SELECT chunk.*,
           CASE WHEN NOT is_now OR status NOT IN ('queued', 'processing') THEN 0
                WHEN at_it_sec IS NULL THEN video_sec * pace.value
                WHEN attempts = 1 THEN (1 - progress) * video_sec * pace.value
                ELSE greatest(video_sec * pace.value - at_it_sec, 0) END AS left_sec
    FROM chunk
    LEFT JOIN pace USING (job_id)
)
SELECT job_id,
       coalesce(avg(progress) FILTER (WHERE is_now), 0) AS progress,
       count(*) FILTER (WHERE status = 'completed') AS completed,
       count(*) FILTER (WHERE status = 'failed') AS failed,
       count(at_it_sec) AS in_work,
       sum(left_sec) AS left_sec,
       max(left_sec) AS longest_left_sec,
       max(pace.value) AS pace,
       extract(epoch FROM now() - max(completed_at))::float8 AS since_last_chunk_sec,
       min(due_at) AS due_at,
       nullif(min(needs), '') AS needs
FROM todo
LEFT JOIN pace USING (job_id)
GROUP BY job_id
