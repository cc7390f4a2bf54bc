-- Before a part's bytes are written: from now on it is not there. Whoever dies in the middle of writing leaves a part
-- that is missing, not one that is half the old and half the new.
-- Race: `complete` or an abort. Both need the file's lock, or the state; without the row nothing is written.
WITH mine AS (
    SELECT id FROM uploads WHERE id = :id AND tenant = :tenant AND state = 'open' FOR KEY SHARE
), gone AS (
    DELETE FROM upload_parts USING mine WHERE upload_id = mine.id AND number = :number
)
SELECT id FROM mine
