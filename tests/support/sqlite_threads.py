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
    before = sqlite_threads()
    yield

    async def ended() -> bool:
        return sqlite_threads() <= before  # of others the test that began them has told

    await eventually(ended)


def sqlite_threads() -> set[threading.Thread]:
    """The threads of connections that are open in this process."""
    return {it for it in threading.enumerate() if "_connection_worker_thread" in it.name}
