UPDATE fleet SET paused_at = NULL, reason = NULL RETURNING paused_at, reason
