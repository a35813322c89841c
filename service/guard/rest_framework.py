"""The guard for Django REST framework.

    REST_FRAMEWORK = {
        "DEFAULT_AUTHENTICATION_CLASSES": ["openshow_guard.rest_framework.GuardAuthentication"],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    }

`request.auth` is the `Identity`; `request.user` the Django user of it where `OPENSHOW_GUARD` says
`"users": True`, else an `IdentityUser`. Of the setting, its verifier counts too, and
`allow_cookie`; its paths are for the middleware, which need not be there.
"""

from collections.abc import Iterable
from datetime import timedelta
from functools import cached_property
from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException
from rest_framework.permissions import BasePermission

from .admission import required_token
from .authentication import NO_CREDENTIAL, Answer, Refused
from .django import guard_settings, scope_of
from .identity import Identity
from .rules import OPTIONAL, Requirement
from .verifier_thread import thread_of


class IdentityUser:
    """Whoever has an identity, where there are no Django users."""

    is_authenticated = is_active = True
    is_anonymous = is_staff = is_superuser = False

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.pk = self.id = self.username = identity.user_id

    def __str__(self) -> str:
        return self.username


class GuardRefusal(APIException):
    """A refusal, as the service itself answers."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.detail = {"error": {"code": answer.code, "message": answer.message}}
        self.status_code = answer.status
        headers = dict(answer.headers)
        if challenge := headers.get("WWW-Authenticate"):
            self.auth_header = challenge
        if wait := headers.get("Retry-After"):
            self.wait = int(wait)


class GuardAuthentication(BaseAuthentication):
    """Authenticates by the access token of a living session."""

    @cached_property
    def _settings(self) -> Any:
        return guard_settings()

    def authenticate(self, request: Any) -> tuple[Any, Identity] | None:
        """Return user and identity; None: there is no credential.

        Raises:
            GuardRefusal: there is one that does not count, or it cannot be known at the moment.
        """
        if hasattr(request._request, "identity"):  # there is the middleware
            identity: Identity | None = request._request.identity
        else:
            identity = self._identify(request._request)
        if identity is None:
            return None
        if not self._settings.users:
            return IdentityUser(identity), identity
        from .django_auth import user_of

        user = user_of(request._request, identity)
        return (user, identity) if user.is_authenticated else None

    def authenticate_header(self, request: Any) -> str:
        """Return the challenge to who has no credential."""
        return dict(NO_CREDENTIAL.headers)["WWW-Authenticate"]

    def _identify(self, request: Any) -> Identity | None:
        read = self._settings
        try:
            token = required_token(OPTIONAL, scope_of(request), allow_cookie=read.allow_cookie)
            return None if token is None else thread_of(read.verifier).identify(token)
        except Refused as refused:
            raise GuardRefusal(refused.answer) from None


def requires(
    *, methods: Iterable[str] = (), max_age: timedelta | float | None = None
) -> type[BasePermission]:
    """Make a permission class that asks for a kind of login, or a recent one.

    With `methods`, such as `{"otp"}`, the login must have used all of these (`amr`, RFC 8176); with
    `max_age`, a timedelta or seconds, it must not be longer ago (RFC 9470).

    Raises:
        ValueError: an argument, which it names, cannot be used.
    """
    requirement = Requirement(methods=methods, max_age=max_age)

    class Requires(BasePermission):
        def has_permission(self, request: Any, view: Any) -> bool:
            identity = request.auth
            if not isinstance(identity, Identity):
                return False
            try:
                requirement.check(identity)
            except Refused as refused:
                raise GuardRefusal(refused.answer) from None
            return True

    return Requires
