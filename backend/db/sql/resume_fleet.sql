UPDATE fleet SET paused_at = NULL, reason = NULL, paused_by = NULL RETURNING paused_at, reason, paused_by
