-- What a tenant may still use is looked at and used by one transaction after another; freed with the transaction.
-- Race: many jobs are made at once, and each sees room for one more.
SELECT pg_advisory_xact_lock(hashtextextended('quota of ' || CAST(:tenant AS text), 0))
