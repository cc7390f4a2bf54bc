-- Of one remote worker's processes (:holder, as in remote-3/) the ones that spoke last: whoever has a token may name as many
-- as it likes, and everybody's list of workers is made from these rows.
DELETE FROM workers
WHERE worker_id IN (
    SELECT worker_id FROM workers WHERE starts_with(worker_id, :holder) ORDER BY seen_at DESC, worker_id OFFSET :most
)
