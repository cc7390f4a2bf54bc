DELETE FROM uploads WHERE id = :id AND state = 'aborted'
