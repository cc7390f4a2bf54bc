-- The object is in its place, whole. From now on no part is taken.
-- Race: another `complete`, an abort, the sweep. One of them finds the upload open.
UPDATE uploads
SET state = 'complete', completed_at = now(), expires_at = now() + make_interval(secs => :expire_seconds)
WHERE id = :id AND tenant = :tenant AND state = 'open'
