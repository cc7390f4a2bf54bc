-- Who paused it first is kept, as the time is; another reason replaces the first, and then its author counts.
UPDATE fleet
SET paused_at = coalesce(paused_at, now()),
    paused_by = CASE WHEN paused_at IS NULL OR CAST(:reason AS text) IS NOT NULL THEN :paused_by ELSE paused_by END,
    reason = coalesce(:reason, reason)
RETURNING paused_at, reason, paused_by
