"""The guard as Django middleware, under WSGI and ASGI alike.

    MIDDLEWARE = ["openshow_guard.django.GuardMiddleware", ...]
    OPENSHOW_GUARD = {"verifier": "shop.auth.verifier", "public": ["/health"]}

Views find who calls in `request.identity`; with `"users": True` also in `request.user`, the Django
user that `django_auth.IdentityBackend` has for the identity. The verifier runs in a thread of its
own (`verifier_thread.py`).
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string

from .admission import Admission
from .asgi_types import Scope
from .authentication import Answer, Refused
from .identity import Identity, current
from .options import check_verifier, check_yes_or_no
from .path_rules import PathRules
from .verifier import Verifier
from .wsgi import headers_of

_SETTING = "OPENSHOW_GUARD"
_LISTS: Mapping[str, Any] = {"public": (), "optional": (), "require": {}}
_SWITCHES = ("allow_preflight", "allow_cookie", "users")


class GuardSettings(msgspec.Struct, frozen=True):
    """The setting `OPENSHOW_GUARD`."""

    verifier: Verifier
    rules: PathRules
    allow_preflight: bool
    allow_cookie: bool
    users: bool


def guard_settings() -> GuardSettings:
    """Read the setting `OPENSHOW_GUARD`.

    Raises:
        ImproperlyConfigured: it is not there, or a part of it, which is named, cannot be used.
    """
    given = getattr(settings, _SETTING, None)
    if not isinstance(given, Mapping) or "verifier" not in given:
        raise ImproperlyConfigured(f'{_SETTING} must be a dict with a "verifier"')
    known = {"verifier", *_LISTS, *_SWITCHES}
    if unknown := sorted(map(str, given.keys() - known)):
        raise ImproperlyConfigured(f"{_SETTING} has no {unknown[0]!r}; it has {sorted(known)}")
    verifier = given["verifier"]
    try:
        if isinstance(verifier, str):
            verifier = import_string(verifier)
        check_verifier(verifier)
        lists = [given.get(name, default) for name, default in _LISTS.items()]
        switches = {name: given.get(name, False) for name in _SWITCHES}
        for name, value in switches.items():
            check_yes_or_no(name, value)
        return GuardSettings(verifier, PathRules(*lists), **switches)
    except (ImportError, ValueError) as fault:
        raise ImproperlyConfigured(f"{_SETTING}: {fault}") from None


class GuardMiddleware:
    """Middleware that asks for the access token of a living session on all but public paths."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        """Start nothing yet.

        Raises:
            ImproperlyConfigured: the setting cannot be used.
        """
        self._get_response = get_response
        self._settings = read = guard_settings()
        self._admission = Admission(
            read.verifier,
            read.rules,
            allow_preflight=read.allow_preflight,
            allow_cookie=read.allow_cookie,
        )
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Serve a request; in an event loop, return what does."""
        if self._is_async:
            return self._serve(request)
        try:
            identity = self._admission.admit(scope_of(request))
        except Refused as refused:
            return response_of(refused.answer)
        self._tell(request, identity)
        before = current.set(identity)
        try:
            return self._get_response(request)
        finally:
            current.reset(before)

    async def _serve(self, request: HttpRequest) -> Any:
        try:
            identity = await self._admission.admit_from_loop(scope_of(request))
        except Refused as refused:
            return response_of(refused.answer)
        self._tell(request, identity)
        before = current.set(identity)
        try:
            return await self._get_response(request)
        finally:
            current.reset(before)

    def _tell(self, request: Any, identity: Identity | None) -> None:
        """Tell the views who calls."""
        request.identity = identity
        if identity is not None and "HTTP_AUTHORIZATION" in request.META:
            # No page of another origin can send this header: it needs no second secret.
            request._dont_enforce_csrf_checks = True
        if self._settings.users and (identity is not None or not hasattr(request, "user")):
            from .django_auth import user_of, user_of_from_loop

            request.user = SimpleLazyObject(lambda: user_of(request, identity))

            async def auser() -> Any:
                return await user_of_from_loop(request, identity)

            request.auser = auser


def scope_of(request: HttpRequest) -> Scope:
    """Make as much of an ASGI scope as a rule and a credential are read from."""
    meta = request.META
    raw = meta.get("RAW_URI") or meta.get("REQUEST_URI") or ""
    root = request.path.removesuffix(request.path_info)
    return {
        "type": "http",
        "method": request.method,
        "path": request.path,
        "root_path": root,
        "raw_path": getattr(request, "scope", {}).get("raw_path")
        or raw.encode("latin-1", "replace"),
        "headers": headers_of(meta),
    }


def response_of(answer: Answer) -> HttpResponse:
    """Make the response of a refusal."""
    headers = {**dict(answer.headers), "Cache-Control": "no-store"}
    return HttpResponse(answer.body, "application/json", answer.status, headers=headers)
