"""An app pod with Django in one file: people's orders, and payments with a second factor.

    pip install openshow-guard django gunicorn
    export AUTH_ISSUER=http://127.0.0.1:8000 AUTH_AUDIENCE=openshow
    export AUTH_JWKS_URL=http://127.0.0.1:8000/.well-known/jwks.json
    export AUTH_REDIS_URL=redis://openshow-guard:password@127.0.0.1:6379
    gunicorn --chdir docs/examples --bind 127.0.0.1:8001 --threads 8 orders_django:app

A project of several files has the same three settings in its settings.py. With `"users": True` and
`openshow_guard.django_auth.IdentityBackend`, `request.user` is a Django user.
"""

import os

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST
from openshow_guard import Verifier
from openshow_guard.django import Requirement

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.urandom(32).hex(),
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["openshow_guard.django.GuardMiddleware"],
    OPENSHOW_GUARD={
        "verifier": Verifier(
            issuer=os.environ["AUTH_ISSUER"],
            audience=os.environ["AUTH_AUDIENCE"],
            jwks_url=os.environ["AUTH_JWKS_URL"],
            redis_url=os.environ["AUTH_REDIS_URL"],
        ),
        "public": ["/health"],
        "require": {"/payments": Requirement(methods={"otp"}, max_age=600)},
    },
)
django.setup()


def orders(request: HttpRequest) -> JsonResponse:
    """Need an access token, as all but public paths do."""
    return JsonResponse({"ordersOf": request.identity.user_id})


@require_POST
def payments(request: HttpRequest) -> JsonResponse:
    """Need one from a login with a TOTP code, at most ten minutes ago."""
    return JsonResponse({"paidBy": request.identity.user_id})


def health(request: HttpRequest) -> JsonResponse:
    """For the load balancer."""
    return JsonResponse({"ok": True})


urlpatterns = [path("orders", orders), path("payments", payments), path("health", health)]
app = get_wsgi_application()
