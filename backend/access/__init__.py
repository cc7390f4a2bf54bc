"""Who may use the API: keys, what they are for, and the tenants that they belong to."""
