"""What a logout is told of guards is never more than the truth, whatever they say."""

import asyncio
import time

import pytest
from tools.testbed.parts import Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.confirmations.guard_positions import GuardPositions
from service.confirmations.waiting import Confirmation, Confirmations
from service.guard.position_writer import PositionWriter
from service.redis.guard_position import About
from service.redis.keys import BUCKETS, GUARD_LIFE, bucket_number, numbered
from service.sessions.token_pair import TokenPair
from tests.guard.guards import Guards, log_out, refuses, verdict
from tests.support.guard_reports import pack
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

NAMES = numbered(0)


async def ended(parts: Parts, pair: TokenPair, seconds: float) -> Confirmation:
    """Log out, and wait for guards."""
    caller = parts.access_tokens.verify(pair.access_token)
    await log_out(parts, pair)
    confirmations = Confirmations(GuardPositions(parts.link))
    told = await confirmations.wait(caller.user_id, caller.session_id, seconds)
    assert told is not None
    return told


async def test_a_liar_counts_for_itself_only(
    parts: Parts, guards: Guards, keys: RedisServer
) -> None:
    """It says that it has read more than there is; the others count as before, also one behind."""
    honest = await guards.start()
    most = [(2**48 - 1, 2**48 - 1)] * BUCKETS
    with keys.client() as client:
        for name, says in ((b"liar", most), (b"behind", [(0, 0)] * BUCKETS)):
            client.set(NAMES.guard + name, pack(says, About()), px=GUARD_LIFE)
            client.hset(NAMES.guards, name, b"")
    pair = await parts.open()
    told = await ended(parts, pair, 1)
    assert told.confirmed <= 1 + await refuses(honest, pair.access_token)


async def test_one_that_ends_between_reading_and_saying(
    parts: Parts, guards: Guards, keys: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses, and nobody is told so: what it has not said is not counted."""
    monkeypatch.setattr("service.guard.position_writer._LEAVE", 0.0)
    guard = await guards.start()
    positions = GuardPositions(parts.link)

    async def is_listed() -> bool:
        return len(await positions.all()) == 1

    await eventually(is_listed)
    monkeypatch.setattr(PositionWriter, "_write", _say_nothing)
    pair = await parts.open()
    assert (await ended(parts, pair, 0.3)).confirmed == 0
    await eventually(lambda: refuses(guard, pair.access_token))


async def _say_nothing(*_: object) -> None:
    await asyncio.Event().wait()


async def test_a_clock_of_redis_that_is_put_back(
    parts: Parts, guards: Guards, keys: RedisServer
) -> None:
    """Ids of entries go on from the highest, an hour ahead: guards confirm those, and refuse."""
    guard = await guards.start()
    user = bytes(16)
    with keys.client() as client:
        names = numbered(bucket_number(user))
        number = client.incr(names.revocations)
        ahead = round(time.time() * 1000) + 3_600_000
        client.xadd(names.revoked, {"n": number, "s": b"s" * 12}, id=f"{ahead}-0")
    pair = await parts.open(user)
    assert await verdict(guard, pair.access_token) == "accepted"
    caller = parts.access_tokens.verify(pair.access_token)
    told = await ended(parts, pair, 5)
    assert told.confirmed <= await refuses(guard, pair.access_token)
    confirmations = Confirmations(GuardPositions(parts.link))

    async def is_confirmed() -> bool:
        told = await confirmations.wait(caller.user_id, caller.session_id, 1)
        return told is not None and told.confirmed == 1

    await eventually(is_confirmed)
    assert await refuses(guard, pair.access_token)
