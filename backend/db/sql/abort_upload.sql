-- The first of three steps: mark the row, delete the bytes, delete the row. Stopped after any of them, the sweep goes on.
-- Race: `complete` and the job that is made of it find another state, and a `complete` that lost deletes its object.
UPDATE uploads SET state = 'aborted' WHERE id = :id AND tenant = :tenant AND state IN ('open', 'complete')
