"""Django users for identities. To be imported once Django's apps are loaded.

AUTHENTICATION_BACKENDS = ["openshow_guard.django_auth.IdentityBackend"]
"""

from typing import Any

from django.contrib.auth import aauthenticate, authenticate
from django.contrib.auth.backends import RemoteUserBackend
from django.contrib.auth.models import AnonymousUser

from .identity import Identity


class IdentityBackend(RemoteUserBackend):
    """Finds the user of an identity: the one whose name is its `user_id`, 32 hex digits.

    One who is not known yet is made, without a password. A subclass may say no to that with
    `create_unknown_user = False`, or fill in the rest in `configure_user`. A user who is not active
    is nobody. What a user may do is asked of Django, as usual.
    """

    def authenticate(self, request: Any, identity: Identity | None = None) -> Any:
        """Return the user, or None."""
        if not isinstance(identity, Identity):
            return None
        return super().authenticate(request, identity.user_id)

    async def aauthenticate(self, request: Any, identity: Identity | None = None) -> Any:
        """Return the user, or None."""
        if not isinstance(identity, Identity):
            return None
        return await super().aauthenticate(request, identity.user_id)

    def configure_user(self, request: Any, user: Any, created: bool = True) -> Any:
        """Fill in a user who was made just now, or is found again. Return them."""
        if created:
            user.set_unusable_password()
            user.save(update_fields=["password"])
        return user


def user_of(request: Any, identity: Identity | None) -> Any:
    """Find the user of an identity by the backends that there are; else the anonymous one."""
    found = authenticate(request, identity=identity) if identity is not None else None
    return found if found is not None else AnonymousUser()


async def user_of_from_loop(request: Any, identity: Identity | None) -> Any:
    """Do so in an event loop."""
    found = await aauthenticate(request, identity=identity) if identity is not None else None
    return found if found is not None else AnonymousUser()
