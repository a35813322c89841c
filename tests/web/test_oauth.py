"""Metadata, revocation, introspection: as their RFCs say, and true of each token at once."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD

from service.redis.keys import bucket
from service.sessions import presented_tokens
from service.sessions.presented_tokens import ActiveToken, PresentedTokens
from service.web.oauth_metadata import oauth_metadata
from tests.operators.commands import command
from tests.support.looking import ON_VALKEY
from tests.support.sqlite_threads import sqlite_threads_end  # noqa: F401  autouse
from tests.web.admin_app import TCP, AdminApp, running_app

pytestmark = [
    ON_VALKEY,
    pytest.mark.usefixtures("commands_beside"),
    pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning"),
]
INACTIVE = b'{"active":false}'
JUNK = ("x", "osr_" + "A" * 120, "a.b.c", "é" * 50, "osk_" + "A" * 60, "\x00")


class Client:
    """Other software, with a key, and people who log in."""

    def __init__(self, app: AdminApp, key: str) -> None:
        self.app = app
        self.http = app.client(None)
        self.key = {"Authorization": f"Bearer {key}"}

    async def sign_up(self, name: str = "ann") -> Any:
        body = {"email": f"{name}@example.com", "password": PASSWORD}
        return (await self.http.post("/auth/signup", json=body)).raise_for_status().json()

    async def refresh(self, tokens: Any) -> httpx.Response:
        return await self.http.post("/auth/refresh", json={"refreshToken": tokens["refreshToken"]})

    async def lives(self, tokens: Any) -> bool:
        bearer = {"Authorization": f"Bearer {tokens['accessToken']}"}
        return (await self.http.get("/auth/me", headers=bearer)).status_code == 200

    async def introspect(self, token: str) -> httpx.Response:
        return await self.http.post("/oauth/introspect", data={"token": token}, headers=self.key)

    async def is_active(self, token: str) -> bool:
        answer = await self.introspect(token)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        if not answer.json()["active"]:
            assert answer.content == INACTIVE
        return bool(answer.json()["active"])

    async def revoke(self, token: str) -> httpx.Response:
        return await self.http.post("/oauth/revoke", data={"token": token})


async def new_key(scopes: str) -> str:
    made = await command("api-keys", "create", "a gateway", "--scopes", scopes, "--json")
    key: str = made.document["key"]
    return key


@pytest.fixture
async def client(keys: RedisServer, tmp_path: Path) -> AsyncIterator[Client]:
    async with running_app(keys, tmp_path, TCP) as app:
        yield Client(app, await new_key("introspect"))


def error_of(answer: httpx.Response) -> str:
    """The code of an error in the shape of RFC 6749."""
    body = answer.json()
    assert set(body) == {"error", "error_description"}
    assert body["error_description"].endswith((".", ">."))
    return str(body["error"])


async def test_metadata(client: Client) -> None:
    """Names the issuer exactly as tokens do, and only what is there."""
    answer = await client.http.get("/.well-known/oauth-authorization-server")
    assert answer.headers["cache-control"] == "public, max-age=600"
    found = answer.json()
    assert found["issuer"] == "http://127.0.0.1:8000"
    assert found["response_types_supported"] == []
    for name, value in found.items():
        if name.endswith(("_endpoint", "_uri")):
            path = value.removeprefix(found["issuer"])
            assert (await client.http.get(path)).status_code in (200, 405), name


def test_metadata_behind_a_path() -> None:
    """The issuer stays as it is set; the addresses are those that a client reaches."""
    found = json.loads(oauth_metadata("https://id.example/", "https://id.example/auth-service"))
    assert found["issuer"] == "https://id.example/"
    assert found["jwks_uri"] == "https://id.example/auth-service/.well-known/jwks.json"
    assert found["revocation_endpoint"] == "https://id.example/auth-service/oauth/revoke"


async def test_what_is_said_of_a_good_token(client: Client) -> None:
    """Of an access token what stands in it; of a refresh token the session's, and its type."""
    ann = await client.sign_up()
    access = (await client.introspect(ann["accessToken"])).json()
    refresh = (await client.introspect(ann["refreshToken"])).json()
    assert list(access) == [
        "active", "sub", "sid", "client_id", "exp", "iat", "auth_time", "amr", "iss", "aud",
        "token_type",
    ]  # fmt: skip
    assert list(refresh) == list(access)
    same = ("active", "sub", "sid", "client_id", "auth_time", "amr", "iss", "aud")
    assert {name: access[name] for name in same} == {name: refresh[name] for name in same}
    assert (access["sub"], access["sid"]) == (ann["user"]["id"], ann["sessionId"])
    assert (access["token_type"], refresh["token_type"]) == ("Bearer", "refresh_token")
    assert access["exp"] - access["iat"] == 900
    assert refresh["exp"] - access["iat"] in range(14 * 86_400 - 2, 14 * 86_400 + 2)


async def test_what_is_not_good(client: Client) -> None:
    """All of it is one answer: junk, spent, ended, and whatever everybody's end has ended."""
    ann, bob, eve = [await client.sign_up(name) for name in ("ann", "bob", "eve")]
    for token in JUNK:
        assert not await client.is_active(token)
    successor = (await client.refresh(ann)).json()
    assert not await client.is_active(ann["refreshToken"])
    assert await client.is_active(successor["refreshToken"])
    assert await client.is_active(ann["accessToken"])
    assert await client.lives(ann), "whoever asks changes nothing: it was no theft"
    await client.revoke(bob["accessToken"])
    for token in (bob["accessToken"], bob["refreshToken"]):
        assert not await client.is_active(token)
    assert await client.is_active(eve["refreshToken"])
    ended = await client.app.client("admin", await new_key("sessions.end")).post(
        "/admin/cutoff", json={"confirm": "everybody", "reason": "a stolen dump"}
    )
    assert ended.status_code == 204
    for tokens in (eve, successor):
        for name in ("accessToken", "refreshToken"):
            assert not await client.is_active(tokens[name])


async def test_a_change_that_was_killed(client: Client, keys: RedisServer) -> None:
    """Nobody has told Redis what it has ended: then the user store is asked, and else never."""
    ann, bob = await client.sign_up(), await client.sign_up("bob")
    user_id = bytes.fromhex(ann["user"]["id"])
    client.app.store.ask("UPDATE users SET version = 7, sessions_from = 7 WHERE id = $1", user_id)
    assert await client.is_active(ann["accessToken"])
    with keys.client() as redis:
        redis.hset(bucket(user_id).index + user_id, "v", "?1 0 1700000000000")
    for name in ("accessToken", "refreshToken"):
        assert not await client.is_active(ann[name])
        assert await client.is_active(bob[name])


async def test_without_the_user_store(client: Client) -> None:
    """Who is known goes on, and hears of an end at once."""
    ann, bob = await client.sign_up(), await client.sign_up("bob")
    assert await client.is_active(ann["accessToken"])
    with client.app.store.out_of_reach():
        for name in ("accessToken", "refreshToken"):
            assert await client.is_active(bob[name])
        await client.revoke(ann["refreshToken"])
        assert not await client.is_active(ann["accessToken"])


async def test_it_asks_for_a_key(client: Client) -> None:
    """In the words of RFC 6750 and the shape of RFC 6749, before it reads what was sent."""
    weak = await new_key("users.read")
    for path in ("/oauth/introspect", "/oauth/introspect/batch"):
        for sent, status, code in (
            (None, 401, "invalid_token"),
            ("osk_wrong", 401, "invalid_token"),
            ((await client.sign_up(path[-3:]))["accessToken"], 401, "invalid_token"),
            (weak, 403, "insufficient_scope"),
        ):
            headers = {} if sent is None else {"Authorization": f"Bearer {sent}"}
            answer = await client.http.post(path, content=b"\xff", headers=headers)
            assert (answer.status_code, error_of(answer)) == (status, code)
            challenge = answer.headers["www-authenticate"]
            assert challenge.startswith("Bearer realm=")
            assert ('error="invalid_token"' in challenge) == (status == 401 and sent is not None)
            assert ('error="insufficient_scope", scope="introspect"' in challenge) == (
                status == 403
            )


async def test_what_is_no_form_with_a_token(client: Client) -> None:
    """400 `invalid_request`; other methods and too much of it in that shape, too."""
    for path in ("/oauth/introspect", "/oauth/revoke"):
        await refuses_what_is_no_form(client, path)


async def refuses_what_is_no_form(client: Client, path: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for content, kind in (
        (b'{"token": "x"}', {"Content-Type": "application/json"}),
        (b"token=x", {"Content-Type": "text/plain"}),
        (b"token=x", {}),
        (b"", form),
        (b"token=", form),
        (b"token=x&token=y", form),
        (b"token_type_hint=access_token", form),
        (b"token=%ff", form),
        (b"token=\xff", form),
        (b"&".join([b"a%d=1" % n for n in range(30)]), form),
    ):
        answer = await client.http.post(path, content=content, headers=kind | client.key)
        assert (answer.status_code, error_of(answer)) == (400, "invalid_request"), content
        assert "JSON" not in answer.text
    big = await client.http.post(path, content=b"x" * 70_000, headers=form)
    assert (big.status_code, error_of(big)) == (413, "invalid_request")
    long = await client.http.post(f"{path}?{'x' * 1_100}", content=b"token=x", headers=form)
    assert (long.status_code, error_of(long)) == (414, "uri_too_long")
    other = await client.http.get(path)
    assert (other.status_code, error_of(other)) == (405, "invalid_request")
    assert "POST" in other.headers["allow"]
    charset = {"Content-Type": "Application/X-WWW-Form-URLencoded; charset=UTF-8"}
    fine = await client.http.post(
        path, content=b"token=x&token_type_hint=nonsense", headers=charset | client.key
    )
    assert fine.status_code == 200


async def test_revocation(client: Client) -> None:
    """By either token, or a spent one: the session has ended everywhere; again it is 200, too."""
    for number, spoil in enumerate(("accessToken", "refreshToken", "spent")):
        ann = await client.sign_up(f"a{number}")
        other = await client.sign_up(f"b{number}")
        token = ann["refreshToken" if spoil == "spent" else spoil]
        living = (await client.refresh(ann)).json() if spoil == "spent" else ann
        for _ in range(2):
            answer = await client.revoke(token)
            assert (answer.status_code, answer.content) == (200, b"")
            assert not await client.lives(living)
            assert (await client.refresh(living)).status_code == 401
        assert await client.lives(other)
    for token in JUNK:
        assert (await client.revoke(token)).status_code == 200
    assert await client.lives(other)


async def test_as_durable_as_a_logout(client: Client, keys: RedisServer, tmp_path: Path) -> None:
    """Where too few replicas have it, 503, also the second time: until they have."""
    ann = await client.sign_up()
    # It waits for a replica, and there is none.
    waits = {"redis_min_replicas": 1, "redis_reply_timeout_ms": 1000}
    async with running_app(keys, tmp_path, TCP, **waits) as short:
        told = []
        while told.count("revocation_unconfirmed") < 2:
            answer = await Client(short, "").revoke(ann["refreshToken"])
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            told.append(error_of(answer))
        assert set(told) <= {"revocation_unconfirmed", "service_unavailable"}  # on a busy machine
    assert not await client.lives(ann)


async def test_many_at_once(client: Client) -> None:
    """A hundred, in their order, each as it would be said alone; no more, and nothing else."""
    path = "/oauth/introspect/batch"
    ann, bob = await client.sign_up(), await client.sign_up("bob")
    await client.revoke(bob["refreshToken"])
    tokens = [ann["refreshToken"], bob["refreshToken"], "x", ann["accessToken"], *["y"] * 96]
    answer = await client.http.post(path, json={"tokens": tokens}, headers=client.key)
    assert answer.status_code == 200
    said = answer.json()["tokens"]
    assert len(said) == 100
    assert said[0] == (await client.introspect(tokens[0])).json()
    assert said[3] == (await client.introspect(tokens[3])).json()
    assert [each for each in said if each != {"active": False}] == [said[0], said[3]]
    wrong: list[Any] = [{"tokens": [*tokens, "z"]}, {"tokens": "x"}, {"tokens": [1]}, {}, []]
    for body in wrong:
        answer = await client.http.post(path, json=body, headers=client.key)
        assert (answer.status_code, error_of(answer)) == (400, "invalid_request"), body
    form = await client.http.post(path, data={"tokens": "x"}, headers=client.key)
    assert (form.status_code, error_of(form)) == (400, "invalid_request")


async def test_many_batches_at_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few tokens are looked at at once, however many are sent; what takes too long is 503."""
    ann = await client.sign_up()
    assert await client.is_active(ann["accessToken"])
    running, most, introspect = 0, 0, PresentedTokens.introspect

    async def counted(self: PresentedTokens, text: str) -> ActiveToken | None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await introspect(self, text)
        finally:
            running -= 1

    async def batch() -> httpx.Response:
        body = {"tokens": [ann["refreshToken"]] * 100}
        path = "/oauth/introspect/batch"
        return await client.http.post(path, json=body, headers=client.key)

    monkeypatch.setattr(PresentedTokens, "introspect", counted)
    answers = await asyncio.gather(*(batch() for _ in range(12)))
    assert [answer.status_code for answer in answers] == [200] * 12
    assert 1 < most <= presented_tokens._BATCHES * presented_tokens._AT_ONCE
    monkeypatch.setattr(presented_tokens, "_PATIENCE", 0)
    late = await batch()
    assert (late.status_code, error_of(late)) == (503, "service_unavailable")
    assert late.headers["retry-after"] == "1"
