"""The guard as ASGI middleware: for Starlette, FastAPI, Django, Litestar and any other ASGI app."""

from .guard.asgi import GuardMiddleware
from .guard.rules import Requirement

__all__ = ["GuardMiddleware", "Requirement"]
