UPDATE uploads SET expires_at = now() + make_interval(secs => :expire_seconds)
WHERE id = :id AND tenant = :tenant AND state = 'open'
