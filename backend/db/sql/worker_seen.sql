-- A worker says that it is alive, what it knows and what it suffers from, by the database's clock. No indexed column changes:
-- the row is rewritten in place. Answers whether it suffers alone: it has for a while, and others of its kind that live do
-- not. A trouble of all shows at each of them only when it speaks next, hence the while.
INSERT INTO workers AS w (worker_id, kind, knows, schema_version, encoders, machine, device, trouble, trouble_since)
VALUES (:worker_id, :kind, :knows, :schema_version, :encoders, :machine, :device, CAST(:trouble AS text),
        CASE WHEN CAST(:trouble AS text) IS NULL THEN NULL ELSE now() END)
ON CONFLICT (worker_id) DO UPDATE
SET seen_at = now(),
    knows = excluded.knows,
    schema_version = excluded.schema_version,
    encoders = excluded.encoders,
    machine = excluded.machine,
    device = excluded.device,
    trouble = excluded.trouble,
    trouble_since = CASE WHEN excluded.trouble IS NULL THEN NULL ELSE coalesce(w.trouble_since, now()) END
RETURNING coalesce(w.trouble_since < now() - make_interval(secs => CAST(:silent_seconds AS float8) / 2), false) AND EXISTS (
    SELECT FROM workers o
    WHERE o.kind = :kind AND o.worker_id <> :worker_id AND o.trouble IS NULL
      AND o.seen_at > now() - make_interval(secs => CAST(:silent_seconds AS float8))
)
