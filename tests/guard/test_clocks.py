"""Clocks that are wrong: the issuer's, and the guard's own. Who has left is not let in again."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
from tools.testbed.parts import SESSION, Parts, access_tokens
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import PATIENT, ServiceProcess, claims_of, sign_up
from tools.testbed.waiting import eventually

from service.guard import Verifier
from service.guard.revocations import _MOST_FAR, Shard
from tests.guard.guards import Guards, log_out, refuses, settled
from tests.support.looking import ON_VALKEY
from tests.support.run_queue import Stopwatch

FAR, NEAR, X, MINE = b"far" * 4, b"near" * 3, b"x" * 12, b"mine" * 3
"""Ids of sessions."""


USER = bytes(16)


class Clock:
    """The time of day, which a test can set."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def minted(ahead: float, life: int = 900) -> str:
    """A token from a pod whose clock is ahead."""
    mint = access_tokens(life=timedelta(seconds=life), ahead=timedelta(seconds=ahead)).mint
    lasting = msgspec.structs.replace(SESSION, expires_at=SESSION.expires_at + timedelta(days=99))
    return mint(lasting)[0]


@ON_VALKEY
async def test_how_far_ahead_a_token_may_expire(
    guards: Guards, parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    """A minute more than a life; past it the log says why, once a minute, without the token."""
    guard = await guards.start()
    assert await settled(guard, minted(ahead=55)) == "accepted"
    assert "clock is ahead" not in caplog.text
    for ahead in (65, 1200, 40 * 86_400):
        token = minted(ahead)
        assert await settled(guard, token) == "refused"
        assert token not in caplog.text
    assert caplog.text.count("clock is ahead") == 1
    strict, offline = await guards.start(mode="strict"), await guards.start(mode="offline")
    for each in (strict, offline):
        assert await settled(each, minted(ahead=1200)) == "refused"


@ON_VALKEY
@pytest.mark.parametrize("first", ["refused as too far", "ended"])
async def test_it_is_not_let_in_once_it_is_near_enough(
    guards: Guards, parts: Parts, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """A token outlives the memory of ends: its own session's end is remembered for it."""
    monkeypatch.setattr("service.guard.verifier.FEED_SKEW", timedelta(seconds=0.5))
    guard: Verifier = await guards.start(access_ttl=1, bound=timedelta(seconds=0.2))
    pair = await parts.open(USER)
    session = parts.access_tokens.verify(pair.access_token)
    claims_session = msgspec.structs.replace(
        SESSION, user_id=session.user_id, id=session.session_id
    )
    mint = access_tokens(life=timedelta(seconds=1), ahead=timedelta(seconds=5)).mint
    token, other = mint(claims_session)[0], mint(claims_session)[0]
    begin = time.time()
    if first == "ended":
        await log_out(parts, pair)
    assert await settled(guard, token) == "refused"
    if first != "ended":
        await log_out(parts, pair)
    seen = set()
    while time.time() < begin + 7:
        await asyncio.sleep(0.02)  # the feed's turn
        for each in (token, other):
            seen.add(await settled(guard, each))
    assert seen == {"refused"}

    async def forgotten() -> bool:
        return not any(map(len, guard._shards))

    await eventually(forgotten)


@ON_VALKEY
async def test_the_guards_clock_is_put_back(
    guards: Guards, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens live longer by it, so ends are remembered for longer by as much."""
    monkeypatch.setattr("service.guard.verifier.FEED_SKEW", timedelta(seconds=0.5))
    clock = Clock()
    guard = await guards.start(access_ttl=2, bound=timedelta(seconds=0.2), clock=clock)
    pair = await parts.open(USER)
    session = parts.access_tokens.verify(pair.access_token)
    theirs = msgspec.structs.replace(SESSION, user_id=session.user_id, id=session.session_id)
    token = access_tokens(life=timedelta(seconds=2)).mint(theirs)[0]
    assert await settled(guard, token) == "accepted"
    await log_out(parts, pair)
    await eventually(lambda: refuses(guard, token))
    clock.ahead = -6.0
    end = time.time() + 8.5  # by its clock the token lives until then
    seen = set()
    while time.time() < end:
        await asyncio.sleep(0.02)
        seen.add(await settled(guard, token))
    assert seen == {"refused"}


def test_a_shard_keeps_what_outlives_a_life() -> None:
    """However many lives that takes, and not for longer."""
    shard = Shard(100.0, turns_at=100.0)
    shard.add(FAR)
    shard.add(NEAR)
    shard.keep(FAR, until=10_450.0, now=10_000.0)
    for now in (100.0, 200.0, 300.0, 400.0):
        shard.turn(now, 10_000.0 + now)
        assert FAR in shard
    assert NEAR not in shard
    for now in (500.0, 600.0, 700.0):
        shard.turn(now, 10_000.0 + now)
    assert FAR not in shard
    assert not shard._far


def test_a_clock_that_is_put_back_delays_what_is_dropped() -> None:
    """By as much; put forward it changes nothing."""
    shard = Shard(100.0, turns_at=100.0)
    shard.add(X)
    shard.turn(50.0, 1050.0)
    shard.turn(60.0, 1010.0)  # back by 50 s
    shard.turn(149.0, 1099.0)
    assert X in shard._young_sessions
    shard.turn(150.0, 5000.0)
    assert X in shard._old_sessions
    shard.turn(249.0, 5099.0)
    assert X in shard
    shard.turn(250.0, 5100.0)
    assert X not in shard


def test_too_many_far_tokens_are_no_way_out() -> None:
    """Past the number that is kept apart, nothing at all is dropped until the furthest expires."""
    now = time.monotonic()
    shard = Shard(100.0, turns_at=now)
    for number in range(_MOST_FAR):
        shard.keep(b"%d" % number, until=10_000.0, now=9_000.0)
    shard.add(MINE)
    shard.keep(MINE, until=10_000.0, now=9_000.0)
    assert len(shard._far) == _MOST_FAR
    for later in (1.0, 200.0, 900.0):
        shard.turn(now + later, 9_000.0 + later)
        assert MINE in shard
    for later in (1_100.0, 1_300.0):
        shard.turn(now + later, 9_000.0 + later)
    assert MINE not in shard


@ON_VALKEY
async def test_a_pod_whose_clock_is_ahead(
    keys: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real one, by 20 s: who has logged out there is refused until the last token has expired."""
    monkeypatch.setattr("service.guard.verifier.FEED_SKEW", timedelta(seconds=0.5))
    program = ("-m", "tests.support.shifted_service")
    settings = {"SERVICE_ACCESS_TTL": "5", "CLOCK_AHEAD": "20"}
    service = ServiceProcess(tmp_path, keys.url, program, **settings, **PATIENT).start()
    try:
        async with (
            httpx.AsyncClient(base_url=service.url, timeout=30) as http,
            Verifier(
                issuer="http://127.0.0.1:8000",
                audience="openshow",
                jwks_url=f"{service.url}/.well-known/jwks.json",
                redis_url=keys.url.reveal(),
                access_ttl=5,
                bound=0.5,
            ) as guard,
        ):
            since = Stopwatch()
            person = await sign_up(http)
            tokens = [person.tokens["accessToken"]]
            person = person.holding((await person.refresh()).json())
            tokens.append(person.tokens["accessToken"])
            expiry = max(claims_of(token)["exp"] for token in tokens)
            assert 20 - since.all < expiry - time.time() < 26
            assert await settled(guard, tokens[0]) == "refused"
            assert (await person.log_out()).status_code == 204
            told = set()
            while time.time() < expiry + 1:
                await asyncio.sleep(0.02)
                told |= {await settled(guard, token) for token in tokens}
            assert told == {"refused"}
    finally:
        service.stop()
