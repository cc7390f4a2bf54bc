-- No row: the name is taken by a remote worker that is not revoked.
INSERT INTO remote_workers (name, token_sha256)
VALUES (:name, :token_sha256)
ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
RETURNING id
