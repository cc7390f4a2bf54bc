SELECT pg_advisory_xact_lock(hashtextextended('uploads of ' || :tenant, 0))
