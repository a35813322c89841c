"""The security log: who tried what at whose account, whence, and why it was refused."""

import asyncio
import json
import os
import uuid
from typing import Any

import httpx
import pytest
from tools.testbed.parts import CLIENT, PATIENTLY
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PASSWORD, Person, ServiceProcess, sign_up
from tools.testbed.waiting import eventually

from service.errors import InvalidCredentials, TooManyAttempts
from service.events.security_log import SecurityLog
from service.redis.client import RedisClient
from service.redis.keys import TAGS
from service.redis.preamble import Bounds
from tests.events.conftest import write
from tests.support.looking import ON_VALKEY, events, watching
from tests.support.run_queue import Stopwatch
from tests.support.two_factor import Phone

pytestmark = ON_VALKEY

HEADERS = {"X-Request-Id": "the-request"}


def refusals(server: RedisServer, person: Person) -> list[dict[str, str]]:
    """What was told of refusals at this account, without what all have in common."""
    rows = [row for row in events(server, person.user_id) if "door" in row]
    for row in rows:
        assert row.pop("user") == person.user_id.hex()
        assert (row.pop("ip"), row.pop("request")) == ("127.0.0.1", "the-request")
        row.pop("id")
    return rows


def lines(service: ServiceProcess, route: str) -> list[dict[str, Any]]:
    """The lines of requests to a route."""
    rows = [json.loads(line) for line in service.output().splitlines() if line.startswith("{")]
    return [row for row in rows if row.get("route") == route]


@pytest.fixture
async def ann(http: httpx.AsyncClient) -> Person:
    """Somebody new, all of whose requests have one id."""
    http.headers.update(HEADERS)
    return await sign_up(http)


async def log_in(http: httpx.AsyncClient, email: str, password: str) -> int:
    body = {"email": email, "password": password}
    return (await http.post("/auth/login", json=body)).status_code


async def test_wrong_passwords_and_the_limit_on_them(
    http: httpx.AsyncClient, ann: Person, keys: RedisServer
) -> None:
    """Each wrong one is told, and that a limit was reached once, whoever is refused after it."""
    for _ in range(10):
        assert await log_in(http, ann.email, "not it at all") == 401
    for password in ("not it at all", PASSWORD, PASSWORD):
        assert await log_in(http, ann.email, password) == 429
    assert refusals(keys, ann) == [
        *[{"type": "user.passwordFailed", "door": "login"}] * 10,
        {"type": "user.limitReached", "door": "login", "limit": "account-network"},
    ]


async def test_of_nobody_nothing_is_written(
    http: httpx.AsyncClient, keys: RedisServer, service: ServiceProcess
) -> None:
    """Who is unknown has no event, and the log's line has a digest in place of the address."""
    email = f"{uuid.uuid4().hex}@example.com"
    for status in [401] * 10 + [429]:
        assert await log_in(http, email, "not it at all") == status
    with keys.client() as client:
        assert client.exists(*(b"events:" + tag for tag in TAGS)) == 0
    await eventually(lambda: asyncio.sleep(0, lines(service, "/auth/login")[-1]["status"] == 429))
    tries = lines(service, "/auth/login")[-11:]
    digests = {row["account"] for row in tries}
    assert len(digests) == 1
    assert len(digests.pop()) == 32
    assert all("user" not in row for row in tries)
    assert tries[-1]["code"] == "rate_limited"


async def test_the_codes_of_each_door(
    http: httpx.AsyncClient, ann: Person, keys: RedisServer
) -> None:
    """A wrong code is told at enrolment, at each change, and as a proof of identity."""
    bearer = ann.bearer
    begun = (await http.post("/auth/2fa/enable", headers=bearer)).json()
    phone = Phone(begun["otpauthUrl"])
    wrong = "000000" if phone.code() != "000000" else "111111"
    verify = {"tempSecretId": begun["tempSecretId"]}
    await http.post("/auth/2fa/verify", headers=bearer, json={**verify, "code": wrong})
    done = await http.post(
        "/auth/2fa/verify", headers=bearer, json={**verify, "code": phone.code()}
    )
    assert done.status_code == 200
    for path in ("/auth/2fa/disable", "/auth/2fa/recovery-codes"):
        refused = await http.post(path, headers=bearer, json={"code": wrong})
        assert refused.json()["error"]["code"] == "invalid_code"
    body = {"refreshToken": ann.tokens["refreshToken"], "code": wrong}
    await http.post("/auth/reauthenticate", headers=bearer, json=body)
    assert refusals(keys, ann) == [
        {"type": "twoFA.codeFailed", "door": door}
        for door in ("2fa.verify", "2fa.disable", "2fa.recoveryCodes", "reauthenticate")
    ]


async def test_passwords_within_a_session(
    http: httpx.AsyncClient, ann: Person, keys: RedisServer
) -> None:
    """A wrong one is told where it is asked for again, and where it is changed."""
    body = {"refreshToken": ann.tokens["refreshToken"], "password": "not it at all"}
    await http.post("/auth/reauthenticate", headers=ann.bearer, json=body)
    change = {"currentPassword": "not it at all", "newPassword": "another horse battery"}
    await http.post("/auth/password/change", headers=ann.bearer, json=change)
    assert refusals(keys, ann) == [
        {"type": "user.passwordFailed", "door": door}
        for door in ("reauthenticate", "password.change")
    ]


async def test_a_limit_is_told_once_in_its_window(keys: RedisServer) -> None:
    """By whichever pod, of each limit by itself, and again in the next window."""
    user = os.urandom(16)
    redis = RedisClient(keys.url, timing=PATIENTLY)
    pods = [SecurityLog(redis), SecurityLog(redis)]

    async def refuse(window: int, *names: str) -> None:
        for name in names:
            error = TooManyAttempts(1, (), [(name, user, window)])
            await asyncio.gather(*(pod.refused("refresh", error, CLIENT, user) for pod in pods * 5))

    since = Stopwatch()
    await refuse(60_000, "refresh", "calls", "refresh")
    assert [row["limit"] for row in events(keys, user)] == ["refresh", "calls"]
    with keys.client() as client:
        told = client.keys("attempts:*told:refresh:*")
        assert 60_000 - 1000 * (since.all + 1) < client.pttl(told[0]) <= 60_000
        client.delete(*told)
    pods[:] = [SecurityLog(redis)]
    await refuse(60_000, "refresh")
    assert [row["limit"] for row in events(keys, user)] == ["refresh", "calls", "refresh"]
    await redis.aclose()


async def test_refusals_push_nothing_out(keys: RedisServer) -> None:
    """Strangers who try at somebody's account fill half of the stream at the most."""
    user = os.urandom(16)
    redis = RedisClient(keys.url, bounds=Bounds(100), timing=PATIENTLY)
    log = SecurityLog(redis)
    changed = write(keys, user, "user.loggedIn")
    for _ in range(150):
        await log.refused("login", InvalidCredentials().about(user), CLIENT)
    rows = events(keys, user)
    assert (len(rows), changed.endswith(rows[0]["id"])) == (50, True)
    await redis.aclose()


async def test_lines_of_what_is_no_try_at_an_account(
    http: httpx.AsyncClient, ann: Person, keys: RedisServer, service: ServiceProcess
) -> None:
    """Refused refreshes and forged tokens: the request's line says why, and whom it is about."""
    await ann.log_out()
    await ann.refresh()
    forged = ann.tokens["refreshToken"][:-1] + (
        "A" if ann.tokens["refreshToken"][-1] != "A" else "B"
    )
    await http.post("/auth/refresh", json={"refreshToken": forged})
    token = ann.bearer["Authorization"]
    await http.get("/auth/me", headers={"Authorization": token[:-4] + "AAAA"})
    told = [
        ("the session has ended", ann.user_id.hex()),
        ("the token is forged, or its key is gone", None),
        ("the access token is forged, or was not issued here", None),
    ]

    async def are_told() -> bool:
        rows = [*lines(service, "/auth/refresh")[-2:], *lines(service, "/auth/me")[-1:]]
        return [(row.get("reason"), row.get("user")) for row in rows] == told

    await eventually(are_told)
    assert refusals(keys, ann) == []


async def test_it_tells_nobody_by_the_time(
    http: httpx.AsyncClient, ann: Person, keys: RedisServer
) -> None:
    """Redis is asked as often for a wrong password as for an unknown address."""
    counts = []
    for email in (ann.email, f"{uuid.uuid4().hex}@example.com"):
        with watching(keys) as seen:
            await log_in(http, email, "not it at all")
        counts.append(seen.from_clients.count("EVALSHA"))
    assert counts[0] == counts[1] > 0
