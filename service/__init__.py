"""Refresh sessions in Redis, ended the moment a person logs out."""

__version__ = "0.1.0"
