"""Accounts and sessions made by the service's own code, without HTTP: what `scripts/seed` does."""
