-- Their bytes are the jobs' by now.
DELETE FROM uploads WHERE state = 'used' AND expires_at < now()
