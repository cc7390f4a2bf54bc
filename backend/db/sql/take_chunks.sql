-- The finished chunks of one job as those of a version of it: their artifacts stay where they lie. `attempts` 0: nobody
-- worked on them for this job, and what counts work passes them over.
INSERT INTO video_analysis_chunks (
    job_id, phase, chunk_index, phase_chunks, needs, tenant, deep_mode, priority, claim_rank, start_sec, end_sec, start_pts,
    end_pts, status, progress, artifact_s3_key, artifact_sha256, completed_at
)
SELECT :job_id, phase, chunk_index, :chunks, needs, tenant, deep_mode, priority, claim_rank, start_sec, end_sec, start_pts, end_pts,
       'completed', 1, artifact_s3_key, artifact_sha256, now()
FROM video_analysis_chunks
WHERE job_id = :parent_id AND phase = :phase AND status = 'completed'
