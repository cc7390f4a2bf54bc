-- Whose turn it is to sweep. A row comes back for one caller in `every_seconds`, fleet-wide; the others write nothing.
-- Race: several ask at once. They wait for the first one's row and then see that it was swept just now, or by their own
-- now() in a moment: it may have begun after them. A clock that was set back (a failover) must not stop the sweeps: a
-- time further in the future than such a moment counts as none.
INSERT INTO sweeps (id, swept_at, swept_by)
SELECT 1, now(), :worker_id
WHERE NOT EXISTS (
    SELECT FROM sweeps WHERE swept_at BETWEEN now() - make_interval(secs => :every_seconds) AND now() + interval '1 minute'
)
ON CONFLICT (id) DO UPDATE
SET swept_at = excluded.swept_at, swept_by = excluded.swept_by
WHERE sweeps.swept_at NOT BETWEEN now() - make_interval(secs => :every_seconds) AND now() + interval '1 minute'
RETURNING id
