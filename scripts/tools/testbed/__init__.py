"""Real servers for tests, bench and chaos: Redis, Sentinels, clusters, PostgreSQL, the service."""
