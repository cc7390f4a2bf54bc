-- Claims the next chunk for one worker and commits before any work begins.
WITH
-- @claiming
SELECT * FROM claimed
