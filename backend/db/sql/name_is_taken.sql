-- Another job has, or is about to write, its film there; a failed one may be retried. A job on the same input replaces its
-- own film, unless it is another tenant's or a client made either: films of clients are never overwritten.
SELECT EXISTS (
    SELECT
    FROM video_analysis_jobs taken
    JOIN video_analysis_jobs mine ON mine.id = :job_id
    WHERE taken.output_uri = :output_uri
      AND taken.id <> mine.id
      AND (
          coalesce(taken.input_sha256, taken.input_uri) <> coalesce(mine.input_sha256, mine.input_uri)
          OR taken.tenant <> mine.tenant OR taken.keeps_existing OR mine.keeps_existing)
      AND taken.status <> 'cancelled'
) AS is_taken
