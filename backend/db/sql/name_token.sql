-- The token has the row's id in it, so it can be made only when the row is there.
UPDATE remote_workers SET token_sha256 = :token_sha256 WHERE id = :id
