"""An authentication class for Django REST framework, and permissions by the kind of login."""

from .guard.rest_framework import GuardAuthentication, IdentityUser, requires

__all__ = ["GuardAuthentication", "IdentityUser", "requires"]
