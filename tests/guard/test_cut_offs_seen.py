"""Cut-offs from the call that makes them to the guards that refuse by them, in each mode."""

import asyncio
from typing import Any

import pytest
from tools.testbed.parts import CLIENT, Parts
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import eventually

from service.errors import InvalidRefreshToken
from service.guard import Verifier
from service.redis.keys import BUCKETS
from service.sessions.token_pair import TokenPair
from tests.guard.feed_writer import FeedWriter
from tests.guard.guards import Guards, refuses, settled
from tests.support.looking import ON_VALKEY

pytestmark = ON_VALKEY

USERS = [bytes((number,)) * 16 for number in (0, 17, BUCKETS - 1)]
USER = USERS[0]


@pytest.fixture(params=["feed", "strict", "ask"])
async def three(
    request: pytest.FixtureRequest, parts: Parts, guards: Guards, keys: RedisServer
) -> list[Verifier]:
    """Guards that follow the feed, or ask Redis for each check: always, or as the feed is lost."""
    how: dict[str, Any] = (
        {"when_lost": "ask"} if request.param == "ask" else {"mode": request.param}
    )
    three = [await guards.start(**how) for _ in range(3)]
    if request.param == "ask":
        with keys.client() as client:
            for user_id in USERS:
                FeedWriter(client).add(user_id, "of a later service", "1")

        async def lost() -> bool:
            return all(guard.counters.feed_unknown == len(USERS) for guard in three)

        await eventually(lost)
    return three


async def told(three: list[Verifier], *pairs: TokenPair) -> set[str]:
    return {await settled(guard, pair.access_token) for guard in three for pair in pairs}


async def seen(three: list[Verifier], *pairs: TokenPair) -> None:
    """All of these are refused: by whoever asks at once, by the others soon."""
    for guard in three:
        if guard.counters.asked:
            assert await told([guard], *pairs) == {"refused"}
        for pair in pairs:
            await eventually(lambda guard=guard, pair=pair: refuses(guard, pair.access_token))


async def test_logout_everywhere(parts: Parts, three: list[Verifier]) -> None:
    """Ends all but the caller's session, or all; a login of the same moment is on its side."""
    pairs = [await parts.open(USER) for _ in range(5)]
    other = await parts.open(USERS[1])
    caller = parts.access_tokens.verify(pairs[0].access_token)
    assert await told(three, *pairs, other) == {"accepted"}
    assert await parts.sessions.revoke_all(caller, True, CLIENT) == 4
    later = await parts.open(USER)
    await seen(three, *pairs[1:])
    renewed = await parts.sessions.refresh(pairs[0].refresh_token, CLIENT)
    assert await told(three, pairs[0], renewed, later, other) == {"accepted"}
    assert await parts.sessions.revoke_all(caller, False, CLIENT) == 2
    latest = await parts.open(USER)
    await seen(three, pairs[0], renewed, later)
    assert await told(three, *pairs, renewed, later) == {"refused"}
    assert await told(three, latest, other) == {"accepted"}
    assert not any(guard.counters.feed_losses for guard in three)


async def test_everybody(parts: Parts, guards: Guards, three: list[Verifier]) -> None:
    """Ends all sessions of all users; logins of the same moment are on their side."""
    pairs = [await parts.open(user_id) for user_id in USERS for _ in range(2)]
    assert await told(three, *pairs) == {"accepted"}
    opening = asyncio.create_task(opened_meanwhile(parts))
    await parts.sessions.cut_offs.everybody(CLIENT, reason="a test", by="cli")
    later = [await parts.open(user_id) for user_id in USERS]
    await seen(three, *pairs)
    assert await told(three, *pairs) == {"refused"}
    assert await told(three, *later) == {"accepted"}
    starting = await guards.start(mode="strict")
    for pair in await opening:  # before it or after it, and to the service as to the guards
        alive = await lives(parts, pair)
        for guard in three:
            assert await settled(guard, pair.access_token) == ("accepted" if alive else "refused")
    assert await told([starting], *pairs) == {"refused"}
    assert await told([starting], *later) == {"accepted"}
    for pair in pairs:
        with pytest.raises(InvalidRefreshToken):
            await parts.sessions.refresh(pair.refresh_token, CLIENT)


async def opened_meanwhile(parts: Parts) -> list[TokenPair]:
    return [await parts.open(USERS[number % len(USERS)]) for number in range(30)]


async def lives(parts: Parts, pair: TokenPair) -> bool:
    try:
        await parts.sessions.refresh(pair.refresh_token, CLIENT)
    except InvalidRefreshToken:
        return False
    return True
