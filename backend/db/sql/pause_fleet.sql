UPDATE fleet SET paused_at = coalesce(paused_at, now()), reason = coalesce(:reason, reason) RETURNING paused_at, reason
