"""Readiness: whether the service can serve, and what keeps it from it."""
