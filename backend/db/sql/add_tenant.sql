INSERT INTO tenants (name) VALUES (:name) ON CONFLICT (name) DO NOTHING
