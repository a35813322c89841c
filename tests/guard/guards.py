"""Guards as tests use them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import redis
from tools.testbed.issuer import Issuer
from tools.testbed.parts import CLIENT, Parts
from tools.testbed.waiting import PATIENCE

from service.errors import StoreUnavailable
from service.guard import GuardUnavailable, TokenRefused, Verifier
from service.redis.client import RedisClient
from service.redis.feed_marking import FeedMarking
from service.redis.keys import BUCKETS, numbered
from service.redis.node import Timing
from service.redis.scripts import Key, script
from service.sessions.token_pair import TokenPair
from service.settings import Secret

ISSUER = "https://issuer.example"


@script(text="redis.call('DEL', mark)", acknowledged=False)
def _forget(*, mark: Key) -> Any: ...


@asynccontextmanager
async def marked(redis_client: RedisClient) -> AsyncIterator[None]:
    """The feed behind `link` bears the issuer's mark, also after a FLUSHALL, as by a service."""
    marking = FeedMarking(redis_client, ISSUER)

    async def mark() -> None:
        with suppress(StoreUnavailable):
            await marking.mark()

    async def keep_marked() -> None:
        while True:
            await mark()
            await asyncio.sleep(0.1)

    await mark()
    task = asyncio.create_task(keep_marked())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with suppress(StoreUnavailable):  # a service that starts later on the same server has another
        for number in range(BUCKETS):
            await _forget(redis_client, mark=numbered(number).issuer)


@asynccontextmanager
async def parts_at(
    url: Secret, min_replicas: int = 0, timing: Timing | None = None
) -> AsyncIterator[Parts]:
    """What opens and ends sessions where this URL leads; the feeds bear the issuer's mark."""
    redis_client = RedisClient(url, min_replicas, timing)
    async with marked(redis_client):
        yield Parts(redis_client)
    await redis_client.aclose()


class Guards(AsyncExitStack):
    """Starts verifiers for one issuer and one Redis."""

    def __init__(self, issuer: Issuer, redis_url: str) -> None:
        super().__init__()
        self.issuer = issuer
        self.redis_url = redis_url

    def new(self, **options: Any) -> Verifier:
        """A verifier that has not started."""
        common = {
            "issuer": ISSUER,
            "audience": "audience",
            "jwks_url": self.issuer.url,
            "redis_url": self.redis_url,
        }
        return Verifier(**common | options)

    async def start(self, **options: Any) -> Verifier:
        """A verifier that runs until the end of the test."""
        return await self.enter_async_context(self.new(**options))


async def verdict(guard: Verifier, token: str) -> str:
    """`accepted`, `refused` or `unavailable`."""
    try:
        await guard.verify(token)
    except TokenRefused:
        return "refused"
    except GuardUnavailable:
        return "unavailable"
    return "accepted"


async def says(guard: Verifier, token: str, wanted: str) -> bool:
    """Whether that is its verdict now."""
    return await verdict(guard, token) == wanted


async def settled(guard: Verifier, token: str) -> str:
    """`accepted` or `refused`: the first that it says.

    Without time for as long as its bound, as on a busy machine, it says `unavailable` and reads on.
    """
    patience = time.monotonic() + PATIENCE
    while (said := await verdict(guard, token)) == "unavailable":
        assert time.monotonic() < patience, "it knows nothing"
        await asyncio.sleep(0.01)
    return said


async def refuses(guard: Verifier, token: str) -> bool:
    return await says(guard, token, "refused")


async def log_out(parts: Parts, pair: TokenPair) -> None:
    """End a session, as its owner does."""
    caller = parts.access_tokens.verify(pair.access_token)
    await parts.sessions.log_out(caller, pair.refresh_token, CLIENT)


async def waits_for_more(client: redis.Redis) -> bool:
    """Whether the one guard has read in: it waits for wishes, and is told what is written."""
    others = client.client_list()
    waiting = [it for it in others if "b" in it["flags"]]
    # Told it is before its first look, too.
    told = [it for it in others if "t" in it["flags"] and it["cmd"] == "xread"]
    return (len(waiting), len(told)) == (1, 1)
