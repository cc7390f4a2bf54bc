SELECT allowed_prefixes FROM tenants WHERE name = :tenant AND allowed_prefixes IS NOT NULL
