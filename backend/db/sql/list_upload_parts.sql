SELECT number, sha256 FROM upload_parts WHERE upload_id = :id AND tenant = :tenant ORDER BY number
