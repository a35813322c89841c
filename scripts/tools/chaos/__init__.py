"""Clients, faults, and a check of everything that was answered meanwhile: `scripts/chaos`."""
