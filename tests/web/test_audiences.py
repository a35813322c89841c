"""Access tokens for one of several resource servers (RFC 8707), whichever call gives them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, claims_of

from tests.support.looking import ON_VALKEY
from tests.support.sqlite_threads import sqlite_threads_end  # noqa: F401  autouse
from tests.support.two_factor import Holder, new_holder
from tests.web.admin_app import TCP, running_app
from tests.web.test_oauth import new_key

pytestmark = [
    ON_VALKEY,
    pytest.mark.usefixtures("commands_beside"),
    pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning"),
]
DEFAULT, SHOP, BANK = "openshow", "https://shop.example", "https://bank.example/api"
WRONG: list[Any] = [
    "https://shop.example/",
    "HTTPS://shop.example",
    "",
    "x" * 5000,
    f"{SHOP},{BANK}",
]


@pytest.fixture
async def http(keys: RedisServer, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with running_app(keys, tmp_path, TCP, audiences=(SHOP, BANK)) as app:
        yield app.client(None)


async def ask(http: httpx.AsyncClient, path: str, bearer: Any = None, **body: Any) -> Any:
    return await http.post(f"/auth/{path}", json=body, headers=bearer)


def audience(answer: httpx.Response) -> str:
    """Whom the access token of an answer is for."""
    assert answer.status_code in (200, 201), answer.text
    claims = claims_of(answer.json()["accessToken"])
    assert claims["client_id"] == claims["aud"]
    return str(claims["aud"])


async def test_each_call_that_gives_tokens(http: httpx.AsyncClient) -> None:
    """Names the resource; a refresh without one goes on with the session's, or names another."""
    ann = {"email": "ann@example.com", "password": PASSWORD}
    assert audience(await ask(http, "signup", **ann)) == DEFAULT
    bob = ann | {"email": "bob@example.com"}
    assert audience(await ask(http, "signup", **bob, resource=BANK)) == BANK
    assert audience(await ask(http, "login", **ann, resource=None)) == DEFAULT
    assert audience(await ask(http, "login", **ann, resource=DEFAULT)) == DEFAULT
    answer = await ask(http, "login", **ann, resource=SHOP)
    for resource, told in ((None, SHOP), (BANK, BANK), (None, SHOP), (DEFAULT, DEFAULT)):
        assert audience(answer) in (SHOP, BANK)
        token = answer.json()["refreshToken"]
        answer = await ask(http, "refresh", refreshToken=token, resource=resource)
        assert audience(answer) == told
    bearer = {"Authorization": f"Bearer {answer.json()['accessToken']}"}
    proof = {"refreshToken": answer.json()["refreshToken"], "password": PASSWORD}
    answer = await ask(http, "reauthenticate", bearer, **proof)
    assert audience(answer) == SHOP
    proof["refreshToken"] = answer.json()["refreshToken"]
    assert audience(await ask(http, "reauthenticate", bearer, **proof, resource=BANK)) == BANK
    change = {"currentPassword": PASSWORD, "newPassword": PASSWORD + "x"}
    answer = await ask(http, "password/change", bearer, **change)
    assert audience(answer) == SHOP, "the session in its place"
    token = answer.json()["refreshToken"]
    assert audience(await ask(http, "refresh", refreshToken=token)) == SHOP


async def test_tabs_that_race_for_different_resources(http: httpx.AsyncClient) -> None:
    """Get the same successor, and each the token that it asked for."""
    opened = (await ask(http, "signup", email="ann@example.com", password=PASSWORD)).json()
    first, second = [
        await ask(http, "refresh", refreshToken=opened["refreshToken"], resource=resource)
        for resource in (SHOP, BANK)
    ]
    assert (audience(first), audience(second)) == (SHOP, BANK)
    assert first.json()["refreshToken"] == second.json()["refreshToken"]


async def test_with_a_second_factor(http: httpx.AsyncClient) -> None:
    """What the first step names is remembered; the second may name another."""
    ann = await (await new_holder(http)).enrol()
    steps: list[tuple[Any, Any, str]] = [
        (SHOP, None, SHOP), (SHOP, BANK, BANK), (None, BANK, BANK), (None, None, DEFAULT),
    ]  # fmt: skip
    for code, (first, second, told) in zip(ann.recovery_codes, steps, strict=False):
        body = {"email": ann.email, "password": PASSWORD}
        challenge = await ask(http, "login", **body, resource=first)
        assert challenge.status_code == 202, challenge.text
        answer = {"challengeId": challenge.json()["challengeId"], "code": code}
        refused = await ask(http, "login/2fa", **answer, resource="https://elsewhere.example")
        assert refused.json()["error"]["code"] == "invalid_target"
        assert audience(await ask(http, "login/2fa", **answer, resource=second)) == told


async def test_what_is_no_audience(http: httpx.AsyncClient) -> None:
    """400 before anything is looked up, counted or used up; another type names the field."""
    ann: Holder = await new_holder(http)
    token = ann.tokens["refreshToken"]
    bodies: dict[str, Any] = {
        "signup": {"email": "new@example.com", "password": PASSWORD},
        "login": {"email": ann.email, "password": "wrong"},
        "login/2fa": {"challengeId": "none", "code": "0"},
        "refresh": {"refreshToken": token},
        "oauth/complete": {"grant": "none", "codeVerifier": "none"},
        "reauthenticate": {"refreshToken": token, "password": PASSWORD},
    }
    for path, body in bodies.items():
        for resource in WRONG:
            answer = await ask(http, path, ann.bearer, **body, resource=resource)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_target")
            assert resource == "" or resource not in answer.text
        for odd in ([SHOP], 7, {"a": SHOP}):
            answer = await ask(http, path, ann.bearer, **body, resource=odd)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
            assert answer.json()["error"]["details"][0]["field"] == "resource"
    assert (await ask(http, "refresh", refreshToken="junk", resource="x")).status_code == 400
    assert (await ask(http, "refresh", refreshToken=token)).status_code == 200


async def test_the_calls_of_the_service(http: httpx.AsyncClient) -> None:
    """Take a token for any of its audiences: whoever is signed in to an app logs out here."""
    ann = (await ask(http, "signup", email="ann@example.com", password=PASSWORD)).json()
    for resource in (SHOP, BANK, DEFAULT):
        opened = await ask(
            http, "login", email="ann@example.com", password=PASSWORD, resource=resource
        )
        tokens = opened.json()
        bearer = {"Authorization": f"Bearer {tokens['accessToken']}"}
        me = await http.get("/auth/me", headers=bearer)
        assert me.json()["user"]["id"] == ann["user"]["id"]
        body = {"refreshToken": tokens["refreshToken"]}
        assert (await ask(http, "logout", bearer, **body)).status_code == 204
        assert (await http.get("/auth/me", headers=bearer)).status_code == 401


async def test_what_introspection_says(http: httpx.AsyncClient) -> None:
    """Of an access token whom it is for; of a refresh token, whom those of the session are for."""
    key = {"Authorization": f"Bearer {await new_key('introspect')}"}
    opened = await ask(http, "signup", email="ann@example.com", password=PASSWORD, resource=SHOP)
    renewed = await ask(http, "refresh", refreshToken=opened.json()["refreshToken"], resource=BANK)
    for token, told in (
        (opened.json()["accessToken"], SHOP),
        (renewed.json()["accessToken"], BANK),
        (renewed.json()["refreshToken"], SHOP),
    ):
        answer = await http.post("/oauth/introspect", data={"token": token}, headers=key)
        assert (answer.json()["aud"], answer.json()["client_id"]) == (told, told)
