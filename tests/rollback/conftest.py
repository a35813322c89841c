"""Pods without the web, on the shared server and a user store of the test's own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from tools.testbed.redis_server import RedisServer
from tools.testbed.waiting import PATIENCE

from tests.rollback.pod import Pod, Snapshot
from tests.support.sqlite_threads import sqlite_threads_end  # noqa: F401  autouse

NewPod = Callable[..., Awaitable[Pod]]


@pytest.fixture
async def new_pod(keys: RedisServer, engine: AsyncEngine) -> AsyncIterator[NewPod]:
    """Makes pods on the server and the user store of the test."""
    async with AsyncExitStack() as stack:

        async def make(policy: str = "replay") -> Pod:
            pod = Pod(keys.url, engine, policy)
            stack.push_async_callback(pod.aclose)
            await pod.watch.start(PATIENCE)
            return pod

        yield make


@pytest.fixture
async def pod(new_pod: NewPod) -> Pod:
    """A pod of its own."""
    return await new_pod()


@pytest.fixture
def snapshot(keys: RedisServer) -> Callable[..., Snapshot]:
    """Takes what the server has, in one bucket or in all, to be put back later."""
    return lambda bucket=None: Snapshot(keys, bucket)
