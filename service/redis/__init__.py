"""The Redis side: connection, key names and lives, script calls, the embedded server."""
