"""The guard as Django middleware; its setting is `OPENSHOW_GUARD`."""

from .guard.django import GuardMiddleware
from .guard.rules import Requirement

__all__ = ["GuardMiddleware", "Requirement"]
