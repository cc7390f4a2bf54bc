-- What the store calls it. Race: nobody else knows the upload before this.
UPDATE uploads SET handle = :handle, checks_parts = :checks_parts WHERE id = :id AND state = 'open'
