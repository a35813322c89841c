"""One server: connecting to it, for all who wait for that."""

import asyncio
import gc
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio.connection import AbstractConnection, Connection

from service.errors import StoreUnavailable
from service.redis.client import RedisClient
from service.redis.node import Node, NotConnected, Timing
from service.settings import Secret
from tests.support.silent_peer import silent_peer

TIMING = Timing(connect=timedelta(seconds=0.1), reply=timedelta(seconds=1))


async def test_an_attempt_that_fails_after_all_have_given_up() -> None:
    """It is no error of the program: nothing of it is told to the event loop, or logged."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    failed = asyncio.Event()
    with silent_peer() as url:
        port = int(url.rpartition(":")[2])

        async def connect() -> AbstractConnection:
            connection = Connection(host="127.0.0.1", port=port)
            try:
                await connection.connect()
                await asyncio.Event().wait()  # a greeting that does not come
            finally:
                await connection.disconnect(nowait=True)
                failed.set()
            return connection

        node = Node(connect, TIMING, 0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await node.ask((b"PING",), False)
        await failed.wait()
        with pytest.raises(NotConnected):  # who asks now makes another attempt
            await node.ask((b"PING",), False)
    await asyncio.sleep(0)
    gc.collect()
    assert told == []


async def test_closing_ends_an_attempt() -> None:
    """One that is under way would open a connection that nobody closes any more."""
    with silent_peer() as url:
        patient = Timing(connect=timedelta(seconds=30), reply=timedelta(seconds=30))
        redis_client = RedisClient(Secret(url.replace("http", "redis", 1)), timing=patient)
        asking = asyncio.create_task(redis_client.execute("GET", b"session:{00}:x"))
        await asyncio.sleep(0.1)  # it waits for a greeting by then; if not, for the connection
        await redis_client.aclose()
        async with asyncio.timeout(10):
            with pytest.raises(StoreUnavailable):
                await asking
