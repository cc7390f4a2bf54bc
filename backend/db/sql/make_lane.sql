INSERT INTO queue_lanes (deep_mode, tenant) VALUES (:deep_mode, :tenant) ON CONFLICT DO NOTHING
