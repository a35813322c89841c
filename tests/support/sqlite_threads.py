"""aiosqlite keeps a thread for each connection, which talks to the event loop when it ends."""

import threading
from collections.abc import AsyncIterator

import pytest
from tools.testbed.waiting import eventually


@pytest.fixture(autouse=True)
async def sqlite_threads_end() -> AsyncIterator[None]:
    """A connection that was given up closes in its own time: let that be before the loop's end.

    Else its thread finds the loop closed, and pytest blames whatever test runs by then.
    """
    before = set(threading.enumerate())
    yield

    async def ended() -> bool:
        since = set(threading.enumerate()) - before  # of others the test that began them has told
        return not any("_connection_worker_thread" in thread.name for thread in since)

    await eventually(ended)
