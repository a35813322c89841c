"""Secrets at rest: envelope encryption, the key at its top, and the keys of the service."""
