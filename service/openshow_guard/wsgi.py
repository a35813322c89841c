"""The guard as WSGI middleware: for Flask, Django and any other WSGI app."""

from .guard.rules import Requirement
from .guard.wsgi import GuardMiddleware

__all__ = ["GuardMiddleware", "Requirement"]
