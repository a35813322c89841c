"""A token for one app is refused by the guards of another, whatever they stand before."""

import warnings
from typing import Any

import pytest
from django.test import Client, override_settings
from fastapi import Depends, FastAPI
from litestar import Litestar, get
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from service.guard import Identity
from service.guard.asgi import GuardMiddleware
from service.guard.fake_issuer import FakeIssuer
from service.guard.fastapi import install, require
from service.guard.litestar import GuardPlugin
from tests.guard import django_site
from tests.guard.test_mounting import whoami
from tests.guard.test_wsgi import call, flask_app

with warnings.catch_warnings():  # Starlette would rather have the next httpx
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

SHOP, BANK = "https://shop.example", "https://bank.example"


def asgi(verifier: Any) -> Any:
    guard = Middleware(GuardMiddleware, verifier=verifier)
    return Starlette(routes=[Route("/me", whoami)], middleware=[guard])


def fastapi(verifier: Any) -> Any:
    app = FastAPI()
    install(app, verifier)

    @app.get("/me")
    async def me(me: Identity = Depends(require(verifier))) -> str:  # noqa: B008
        return me.user_id

    return app


def litestar(verifier: Any) -> Any:
    @get("/me")
    async def me() -> None:
        return None

    return Litestar([me], plugins=[GuardPlugin(verifier)])


def statuses(kind: str, verifier: Any, headers: list[dict[str, str]]) -> list[tuple[int, str]]:
    """What each call comes to: its status and challenge."""
    if kind == "wsgi":
        app = flask_app(verifier)
        found = [call(app, "/me", each["Authorization"]) for each in headers]
        return [(each.status, each.headers.get("WWW-Authenticate", "")) for each in found]
    if kind.startswith("django"):
        django_site.configure()
        path = "/rest/me" if kind == "django rest" else "/me"
        middleware = [] if kind == "django rest" else ["service.guard.django.GuardMiddleware"]
        with override_settings(OPENSHOW_GUARD={"verifier": verifier}, MIDDLEWARE=middleware):
            answers: list[Any] = [Client().get(path, headers=each) for each in headers]
    else:
        with TestClient(
            {"asgi": asgi, "fastapi": fastapi, "litestar": litestar}[kind](verifier)
        ) as client:
            answers = [client.get("/me", headers=each) for each in headers]
    return [(each.status_code, each.headers.get("WWW-Authenticate", "")) for each in answers]


@pytest.mark.parametrize("kind", ["asgi", "fastapi", "litestar", "wsgi", "django", "django rest"])
def test_tokens_of_two_apps(fake: FakeIssuer, kind: str) -> None:
    """Of the same issuer and people; only the app's own are taken."""
    verifier = fake.verifier(audience=SHOP)
    own = fake.log_in()
    fake.audience = BANK
    headers = [own.headers, fake.log_in().headers]
    (good, _), (refused, challenge) = statuses(kind, verifier, headers)
    assert (good, refused) == (200, 401)
    assert challenge.endswith('error="invalid_token"')
