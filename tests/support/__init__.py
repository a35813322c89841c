"""Real servers for tests, each on loopback with its own directory, stopped by its process id."""
