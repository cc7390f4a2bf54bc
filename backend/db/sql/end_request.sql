-- Whoever took it over has another token.
DELETE FROM requests_in_flight
WHERE tenant = :tenant AND idempotency_key = :idempotency_key AND token = :token
RETURNING token
