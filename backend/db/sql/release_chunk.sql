-- A draining worker gives its chunk back: no failure is counted, the fence stays where it is.
UPDATE video_analysis_chunks
SET status = 'queued', available_at = now(), lease_expires_at = NULL, claimed_by = NULL
WHERE id = :chunk_id AND status = 'processing' AND attempts = :attempts
