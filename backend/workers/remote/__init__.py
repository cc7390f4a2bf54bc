"""A chunk worker without a connection to the database and without credentials of the store: it has a token."""
