"""A bound on all that one call asks of a provider."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar

from service.errors import ProviderUnavailable

BUDGET = 2.0
"""Seconds."""

A = TypeVar("A")
B = TypeVar("B")


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """Bound what is done in this block.

    Raises:
        ProviderUnavailable: it was not done within `BUDGET`.
    """
    try:
        async with asyncio.timeout(BUDGET):
            yield
    except TimeoutError:
        raise ProviderUnavailable("the provider does not answer in time") from None


async def both(first: Coroutine[None, None, A], second: Coroutine[None, None, B]) -> tuple[A, B]:
    """Do both at once. If one fails the other is given up, and the first error is raised."""
    tasks = asyncio.ensure_future(first), asyncio.ensure_future(second)
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return tasks[0].result(), tasks[1].result()
