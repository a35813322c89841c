"""The guard as a Litestar plugin."""

from .guard.litestar import GuardPlugin

__all__ = ["GuardPlugin"]
