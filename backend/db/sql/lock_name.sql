-- Whoever holds it settles whose the film's name is; freed with the transaction.
-- Race: two jobs want one name at the same moment, and neither row says so yet.
SELECT pg_advisory_xact_lock(hashtextextended(:output_uri, 0))
