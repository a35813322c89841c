"""Waiting for a condition instead of for luck."""

import asyncio
import time
from collections.abc import Awaitable, Callable


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return once `condition` holds; fail the test when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


async def eventually(condition: Callable[[], Awaitable[object]], seconds: float = 20.0) -> None:
    """`wait_until` for a condition that has to be awaited."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.02)
