"""API keys: what other software shows, to operators' HTTP and to introspection."""
