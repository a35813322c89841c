"""Works on many buckets, a few at once: no server is to get all of it together."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

_AT_ONCE = 8

Each = TypeVar("Each")
Outcome = TypeVar("Outcome")


async def map_few_at_once(
    work: Callable[[Each], Awaitable[Outcome]], everything: Iterable[Each]
) -> list[Outcome]:
    """Do some work on each, a few at once, and return what came of them, in the order given.

    Raises the first error of any, as `asyncio.gather` does: the others go on.
    """
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(each: Each) -> Outcome:
        async with places:
            return await work(each)

    return await asyncio.gather(*map(one, everything))
