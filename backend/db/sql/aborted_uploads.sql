SELECT id, handle FROM uploads WHERE state = 'aborted' ORDER BY expires_at LIMIT :batch
