-- Race: two of one tenant at once. The lock of uploads_turn.sql lets one after the other count what is open.
INSERT INTO uploads (id, tenant, name, content_type, size_bytes, part_bytes, sha256, checks_parts, expires_at)
SELECT :id, :tenant, :name, :content_type, :size_bytes, :part_bytes, :sha256, :checks_parts,
       now() + make_interval(secs => :expire_seconds)
FROM (
    SELECT count(*) AS uploads, coalesce(sum(size_bytes), 0) AS bytes
    FROM uploads WHERE tenant = :tenant AND state IN ('open', 'complete', 'aborted')
) taken
WHERE taken.uploads < :open_max AND taken.bytes + :size_bytes <= :open_bytes_max
RETURNING id
