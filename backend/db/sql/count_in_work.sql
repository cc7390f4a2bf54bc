-- How many chunks of a lane are in work. Race: two claims see one free place. The caller has claimed and locked the lane's
-- row (lock_lane.sql), so this statement's snapshot sees every claim of the lane that committed before.
SELECT count(*) FROM video_analysis_chunks WHERE deep_mode = :deep_mode AND tenant = :tenant AND status = 'processing'
