-- In the transaction that writes the job. Race: two jobs of one upload, an abort, the sweep: one finds it complete.
UPDATE uploads SET state = 'used' WHERE id = :id AND tenant = :tenant AND state = 'complete'
