"""Waiting for a condition instead of for luck."""

import asyncio
import time
from collections.abc import Awaitable, Callable

PATIENCE = 45.0
"""Seconds: many, for machines that many share. Only what has failed takes so long."""


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Return once `condition` holds; fail the test when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


async def eventually(condition: Callable[[], Awaitable[object]], seconds: float = PATIENCE) -> None:
    """Wait as `wait_until` for a condition that has to be awaited."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.02)
