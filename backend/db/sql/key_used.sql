-- Once in ten minutes, whoever asks how often: a busy key would rewrite its row all the time.
UPDATE api_keys SET last_used_at = now()
WHERE id = :id AND (last_used_at IS NULL OR last_used_at < now() - interval '10 minutes')
RETURNING id
