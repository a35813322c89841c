"""A logout tells how many guards refuse the session: never more than do, and never an error."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import jwt
import pytest
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, ServiceProcess, claims_of
from tools.testbed.waiting import eventually

from service.guard import TokenRefused, Verifier
from service.redis.guard_position import NOTHING, About
from service.redis.keys import BUCKETS, numbered
from service.web.preferences import preferences
from tests.support.guard_reports import pack
from tests.support.two_factor import new_holder

WAIT = {"Prefer": "wait=5"}


@pytest.fixture
async def http(service: ServiceProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
        yield client


def guard(service: ServiceProcess, redis_server: RedisServer) -> Verifier:
    return Verifier(
        issuer="http://127.0.0.1:8000",
        audience="openshow",
        jwks_url=f"{service.url}/.well-known/jwks.json",
        redis_url=redis_server.url.reveal(),
    )


async def log_out(
    http: httpx.AsyncClient, tokens: dict[str, str], **headers: str
) -> httpx.Response:
    return await http.post(
        "/auth/logout",
        json={"refreshToken": tokens["refreshToken"]},
        headers={"Authorization": f"Bearer {tokens['accessToken']}", **headers},
    )


async def guards_are(http: httpx.AsyncClient, number: int) -> bool:
    answer = await log_out(http, (await new_holder(http)).tokens, Prefer="wait=1")
    return answer.headers["Guards-Confirmed"] == f"{number}/{number}"


async def test_two_guards_confirm_each_kind_of_end(
    http: httpx.AsyncClient, service: ServiceProcess, redis_server: RedisServer
) -> None:
    """Those that are told of refuse by then. With the receipt, which the JWK set verifies."""
    await eventually(lambda: guards_are(http, 0))
    async with guard(service, redis_server) as one, guard(service, redis_server) as two:
        await eventually(lambda: guards_are(http, 2))
        for end in ("logout", "one", "all", "password"):
            ann = await new_holder(http)
            token, claims = ann.tokens["accessToken"], claims_of(ann.tokens["accessToken"])
            bearer = {"Authorization": f"Bearer {token}", "Prefer": "wait=5, receipt"}
            match end:
                case "logout":
                    answer = await log_out(http, ann.tokens, Prefer="wait=5, receipt")
                case "one":
                    answer = await http.delete(f"/auth/sessions/{claims['sid']}", headers=bearer)
                case "all":
                    answer = await http.post("/auth/logout/all", headers=bearer)
                case _:
                    changed = {"currentPassword": PASSWORD, "newPassword": "a whole new one 7"}
                    answer = await http.post("/auth/password/change", json=changed, headers=bearer)
            for verifier in (one, two):
                with pytest.raises(TokenRefused):
                    await verifier.verify(token)
            assert answer.is_success, answer.text
            assert answer.headers["Preference-Applied"] == "wait"
            assert answer.headers["Guards-Confirmed"] == "2/2"
            receipt = answer.headers["Revocation-Receipt"]
            assert jwt.get_unverified_header(receipt)["typ"] == "revocation-receipt+jwt"
            key = jwt.PyJWKClient(f"{service.url}/.well-known/jwks.json")
            signing = await asyncio.to_thread(key.get_signing_key_from_jwt, receipt)
            told = jwt.decode(receipt, signing, ["ES256"], options={"verify_aud": False})
            number = numbered(told["bucket"])
            with redis_server.client() as client:
                entries = client.xrevrange(number.revoked, count=3)
            names = bytes.fromhex(told.get("sid") or told["sub"])
            found = [fields[b"n"] for _, fields in entries if names in fields.values()]
            assert found[0] == b"%d" % told["n"]
            assert (told["iss"], told["sub"]) == (claims["iss"], claims["sub"])
            assert told.get("sid") == (claims["sid"] if end in ("logout", "one") else None)
            assert (told["guards"], told["confirmed"], told["acks"]) == (2, 2, 0)
    await eventually(lambda: guards_are(http, 0))


async def test_a_guard_that_is_behind_is_not_counted(
    http: httpx.AsyncClient, redis_server: RedisServer
) -> None:
    """It lives, and has not said so: 0/1 after the time. Nor one that knows another history."""
    names = numbered(0)
    with redis_server.client() as client:
        for line in (
            pack([NOTHING] * BUCKETS, About("behind")),
            pack([(10**9, 1)] * BUCKETS, About("read other entries with these numbers")),
        ):
            client.set(names.guard + b"x", line, px=5000)
            client.hset(names.guards, b"x", b"")
            answer = await log_out(http, (await new_holder(http)).tokens, Prefer="wait=1")
            assert answer.status_code == 204
            assert answer.headers["Guards-Confirmed"] == "0/1"
        client.set(names.guard + b"x", b"no line of a guard", px=5000)
        answer = await log_out(http, (await new_holder(http)).tokens, Prefer="wait=1")
        assert answer.headers["Guards-Confirmed"] in ("0/0", "0/1")
        client.delete(names.guard + b"x")
        answer = await log_out(http, (await new_holder(http)).tokens, Prefer="wait=1")
        assert answer.headers["Guards-Confirmed"] == "0/0"
        assert not client.exists(names.guards)


@pytest.mark.parametrize(
    "prefer", ["", "wait=0", "wait=6", "wait=05", "wait=-1", "wait=x", "wait", "respond-async"]
)
async def test_anything_else_is_ignored(http: httpx.AsyncClient, prefer: str) -> None:
    """Nothing is waited for, and nothing is said to have been."""
    answer = await log_out(http, (await new_holder(http)).tokens, Prefer=prefer)
    assert answer.status_code == 204
    told = {"preference-applied", "guards-confirmed", "revocation-receipt"}
    assert not told & set(answer.headers)


async def test_an_error_carries_neither(http: httpx.AsyncClient) -> None:
    """Nothing has ended."""
    ann = await new_holder(http)
    assert (await log_out(http, ann.tokens)).status_code == 204
    again = await log_out(http, ann.tokens, Prefer="wait=5, receipt")
    assert again.status_code == 400
    assert not {"guards-confirmed", "revocation-receipt"} & set(again.headers)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (b"wait=2", {"wait": "2"}),
        (b'WAIT = "3" ; a=b, receipt', {"wait": "3", "receipt": ""}),
        (b"wait=1, wait=5", {"wait": "1"}),
        (b'y, x="a, wait=5", wait=4', {"y": "", "x": "a, wait=5", "wait": "4"}),
        (b",,;=\xff", {}),
        (b",, wait=2 ,, ,receipt,", {"wait": "2", "receipt": ""}),  # RFC 9110, section 5.6.1.2
    ],
)  # fmt: skip
def test_preferences_are_read(header: bytes, wanted: dict[str, str]) -> None:
    """As RFC 7240 spells them."""
    assert preferences(header) == wanted
