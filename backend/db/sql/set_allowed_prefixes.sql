UPDATE tenants SET allowed_prefixes = :allowed_prefixes WHERE name = :name
