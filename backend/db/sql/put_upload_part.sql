-- The part's bytes are on disk.
-- Race: an abort just now. Then the state is another one, and nothing is said of a part whose file is gone.
WITH mine AS (
    UPDATE uploads SET expires_at = now() + make_interval(secs => :expire_seconds)
    WHERE id = :id AND tenant = :tenant AND state = 'open'
    RETURNING id, tenant
)
INSERT INTO upload_parts (upload_id, tenant, number, sha256)
SELECT id, tenant, :number, :sha256 FROM mine
ON CONFLICT (upload_id, number) DO UPDATE SET sha256 = excluded.sha256
