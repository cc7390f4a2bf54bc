-- What there is to do for GPU workers: chunks in work, and those that wait, unless nobody may claim them now. It is what
-- BacklogPerWorker divides; KEDA asks with the same words (deploy/k8s/overlays/keda) and divides by itself.
SELECT (
    -- @gpu_in_work
) + (
    SELECT count(*) AS chunks
    FROM video_analysis_chunks
    WHERE status = 'queued' AND NOT on_hold AND deep_mode = 'gpu'
      AND NOT EXISTS (SELECT FROM fleet WHERE paused_at IS NOT NULL)
) AS chunks
