"""An authentication backend for Django: the users of identities."""

from .guard.django_auth import IdentityBackend

__all__ = ["IdentityBackend"]
