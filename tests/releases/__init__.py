"""What earlier releases ask of the database: `python -m tests.releases.record COMMIT` adds one."""
