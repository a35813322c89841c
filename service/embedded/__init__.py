"""The Valkey that `scripts/up` runs: the process, and the files around it."""
