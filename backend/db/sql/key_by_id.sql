-- @stored_key
WHERE k.id = :id
