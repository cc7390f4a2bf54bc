-- Claims the next chunk for one worker and commits before any work begins.
WITH
-- @claiming
SELECT id AS chunk_id, job_id, attempts, chunk_index, start_pts, end_pts, deep_mode, tenant, max_in_work, is_stale FROM claimed
