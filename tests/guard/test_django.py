"""Django's middleware, users and REST framework, under WSGI and ASGI."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connections
from django.test import AsyncClient, Client, override_settings

from service.guard import current_identity
from service.guard.fake_issuer import FakeIssuer, Login
from service.guard.rules import Requirement
from tests.guard import django_site

MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware", "service.guard.django.GuardMiddleware"]


@pytest.fixture(scope="module", autouse=True)
def _database() -> Iterator[None]:
    django_site.configure()
    call_command("migrate", verbosity=0)
    yield
    connections.close_all()


@pytest.fixture
def site(fake: FakeIssuer) -> Iterator[Any]:
    """Makes the settings of a site."""
    stack: list[Any] = []

    def configured(middleware: list[str] = MIDDLEWARE, **guard: Any) -> None:
        guard = {"verifier": fake.verifier(), "public": ["/open"]} | guard
        override = override_settings(OPENSHOW_GUARD=guard, MIDDLEWARE=middleware)
        override.enable()
        stack.append(override)

    yield configured
    for override in reversed(stack):
        override.disable()


def header(login: Login) -> Any:
    return {"headers": login.headers}


async def test_views_behind_the_middleware(fake: FakeIssuer, site: Any) -> None:
    """Under both interfaces, sync views and async ones: each is told who calls, or not called."""
    site(optional=["/me"], require={"/admin/": Requirement(methods={"otp"})})
    ann = fake.log_in()
    for path in ("/me", "/ame"):
        answer = await AsyncClient().get(path, headers=ann.headers)
        assert (answer.status_code, answer.content.decode()) == (200, ann.identity.user_id)
    assert (await AsyncClient().get("/ame")).status_code == 401
    assert (await AsyncClient().get("/me")).content == b"nobody"
    assert (
        await AsyncClient().get("/ame", headers={"authorization": "Bearer x"})
    ).status_code == 401
    assert current_identity() is None


def test_refusals(fake: FakeIssuer, site: Any) -> None:
    """Are those of the service; a logout is seen; public paths need nothing."""
    site(optional=["/me"], require={"/admin/": Requirement(methods={"otp"})})
    client, ann = Client(enforce_csrf_checks=True), fake.log_in()
    assert client.get("/open", headers={"authorization": "Bearer junk"}).content == b"nobody"
    answer = client.get("/ame")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="openshow"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["error"]["code"] == "unauthorized"
    answer = client.get("/admin/x", **header(ann))
    assert answer.json()["error"]["code"] == "insufficient_user_authentication"
    assert client.get("/admin/x", **header(fake.log_in(methods={"otp"}))).status_code == 200
    assert client.get("/me", **header(ann)).status_code == 200
    fake.log_out(ann)
    assert client.get("/me", **header(ann)).status_code == 401
    fake.lose_feed()
    answer = client.get("/ame", **header(fake.log_in()))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert current_identity() is None


def test_forged_requests(fake: FakeIssuer, site: Any) -> None:
    """A header that no other page can send needs no second secret; without it Django looks."""
    site(optional=["/me"])
    client = Client(enforce_csrf_checks=True)
    assert client.post("/me", **header(fake.log_in())).status_code == 200
    assert client.post("/me").status_code == 403
    assert client.post("/open", **header(fake.log_in())).status_code == 403


async def test_users(fake: FakeIssuer, site: Any) -> None:
    """Each identity has one of its own, made when it is first seen, who has no password."""
    from asgiref.sync import sync_to_async
    from django.contrib.auth.models import User

    site(users=True, optional=["/user"])
    ann, bob = fake.log_in(), fake.log_in()
    name = ann.identity.user_id
    client = AsyncClient()
    for path in ("/user", "/auser", "/user"):
        answer = await client.get(path, headers=ann.headers)
        assert answer.content.decode() == f"{name} True"
    assert (await client.get("/user")).content == b" False"

    @sync_to_async
    def look() -> None:
        user = User.objects.get(username=name)
        assert not user.has_usable_password()
        assert User.objects.filter(username=bob.identity.user_id).count() == 0
        user.is_active = False
        user.save()

    await look()
    assert (await client.get("/user", headers=ann.headers)).content == b" False"


@pytest.mark.parametrize("middleware", [MIDDLEWARE, []])
def test_rest_framework(fake: FakeIssuer, site: Any, middleware: list[str]) -> None:
    """By its own class, with the middleware or without; refusals have the service's shape."""
    site(middleware, public=["/rest/open"], optional=["/rest/me"])
    client = Client(enforce_csrf_checks=True)
    ann, strong = fake.log_in(), fake.log_in(methods={"otp"})
    assert client.get("/rest/me", **header(ann)).json() == [ann.identity.user_id, True, True]
    assert client.post("/rest/me", **header(ann)).status_code == 200
    answer = client.get("/rest/me")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (
        401, 'Bearer realm="openshow"',
    )  # fmt: skip
    assert client.get("/rest/open").json() == ["AnonymousUser", False, False]
    answer = client.get("/rest/me", headers={"authorization": "Bearer junk"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].endswith('error="invalid_token"')
    answer = client.get("/rest/pay", **header(ann))
    assert answer.json()["error"]["code"] == "insufficient_user_authentication"
    assert "reauthenticate with otp" in answer.headers["WWW-Authenticate"]
    assert client.get("/rest/pay", **header(strong)).status_code == 200
    assert (
        client.get("/rest/pay", **header(fake.log_in(methods={"otp"}, age=90))).status_code == 401
    )
    fake.lose_feed()
    answer = client.get("/rest/me", **header(ann))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_rest_framework_with_users(fake: FakeIssuer, site: Any) -> None:
    """The user is Django's; one who is not active is nobody."""
    from django.contrib.auth.models import User

    site([], users=True)
    ann = fake.log_in()
    assert Client().get("/rest/me", **header(ann)).json() == [ann.identity.user_id, True, True]
    User.objects.filter(username=ann.identity.user_id).update(is_active=False)
    assert Client().get("/rest/me", **header(ann)).status_code == 401


@pytest.mark.parametrize(
    ("guard", "fault"),
    [
        (None, 'must be a dict with a "verifier"'),
        ({}, 'must be a dict with a "verifier"'),
        ({"verifier": "nowhere.verifier"}, "nowhere"),
        ({"verifier": "tests.guard.test_options.ISSUER"}, "ISSUER"),
        ({"verifier": "tests.guard.test_options.GOOD"}, "verifier must be a Verifier"),
        ({"verifier": "tests.guard.test_options.GUARD", "publik": []}, "has no 'publik'"),
        ({"verifier": "tests.guard.test_options.GUARD", "public": "/x"}, "public is a list"),
        ({"verifier": "tests.guard.test_options.GUARD", "users": 1}, "users is True or False"),
    ],
)
def test_a_wrong_setting_is_named(guard: Any, fault: str) -> None:
    """When the site is put together, not by its first request."""
    from service.guard.django import GuardMiddleware

    with (
        override_settings(OPENSHOW_GUARD=guard),
        pytest.raises(ImproperlyConfigured, match=fault),
    ):
        GuardMiddleware(lambda request: None)
