-- How many chunks of a lane are in work. Race: two claims take the one free place. Both have committed; each then locks
-- the lane's row (lock_lane.sql) before this statement, so the later one sees what the earlier one kept.
SELECT count(*) FROM video_analysis_chunks WHERE deep_mode = :deep_mode AND tenant = :tenant AND status = 'processing'
