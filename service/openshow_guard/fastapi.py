"""The guard as a FastAPI dependency: `install` it in the app, `require` it in a route."""

from .guard.fastapi import install, require

__all__ = ["install", "require"]
