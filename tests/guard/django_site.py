"""A Django site for the tests. Its settings are those of the process, so there is one."""

from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from service.guard import current_identity


def configure() -> None:
    """Set Django up, once."""
    if not settings.configured:
        settings.configure(
            ROOT_URLCONF=__name__,
            ALLOWED_HOSTS=["*"],
            SECRET_KEY="for tests only",
            INSTALLED_APPS=[
                "django.contrib.contenttypes",
                "django.contrib.auth",
                "rest_framework",
            ],
            DATABASES={
                "default": {
                    "ENGINE": "django.db.backends.sqlite3",
                    "NAME": "file:guard?mode=memory&cache=shared",
                    "OPTIONS": {"uri": True},
                }
            },
            AUTHENTICATION_BACKENDS=[
                "service.guard.django_auth.IdentityBackend",
                "django.contrib.auth.backends.ModelBackend",
            ],
        )
        django.setup(set_prefix=False)


async def async_view(request: Any) -> JsonResponse:
    identity = request.scope["state"]["identity"]
    return JsonResponse(identity and identity.user_id, safe=False)


def sync_view(request: HttpRequest) -> JsonResponse:
    identity = request.scope["state"]["identity"]
    return JsonResponse(identity and identity.user_id, safe=False)


def whoami(request: Any) -> HttpResponse:
    """Say who calls, by the request and by the context, which must agree."""
    assert request.identity is current_identity()
    return HttpResponse(request.identity.user_id if request.identity else "nobody")


async def awhoami(request: Any) -> HttpResponse:
    assert request.identity is current_identity()
    return HttpResponse(request.identity.user_id if request.identity else "nobody")


def user(request: Any) -> HttpResponse:
    return HttpResponse(f"{request.user.get_username()} {request.user.is_authenticated}")


async def auser(request: Any) -> HttpResponse:
    found = await request.auser()
    return HttpResponse(f"{found.get_username()} {found.is_authenticated}")


def rest(request: HttpRequest) -> Any:
    """Call a view of the REST framework, which is imported once the settings are there."""
    from rest_framework.permissions import IsAuthenticated
    from rest_framework.response import Response
    from rest_framework.views import APIView

    from service.guard.rest_framework import GuardAuthentication, requires

    class View(APIView):
        authentication_classes = (GuardAuthentication,)
        permission_classes = (
            (IsAuthenticated, requires(methods={"otp"}, max_age=60))
            if request.path == "/rest/pay"
            else ()
            if request.path == "/rest/open"
            else (IsAuthenticated,)
        )

        def get(self, request: Any) -> Response:
            user = request.user
            return Response([str(user), user.is_authenticated, bool(request.auth)])

        post = get

    return View.as_view()(request)


urlpatterns = [
    path("orders", async_view), path("api/orders", sync_view), path("health", sync_view),
    path("me", whoami), path("ame", awhoami), path("open", whoami), path("admin/x", whoami),
    path("user", user), path("auser", auser),
    path("rest/me", rest), path("rest/pay", rest), path("rest/open", rest),
]  # fmt: skip
