-- Chunks that GPU workers hold: KEDA keeps at least as many workers (deploy/k8s/overlays/keda, with the same words).
SELECT count(*) AS chunks
FROM video_analysis_chunks
WHERE status = 'processing' AND deep_mode = 'gpu'
