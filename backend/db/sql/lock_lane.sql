SELECT 1 FROM queue_lanes WHERE deep_mode = :deep_mode AND tenant = :tenant FOR NO KEY UPDATE
