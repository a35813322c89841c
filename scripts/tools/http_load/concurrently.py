"""Several coroutines at once."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


async def gather(
    make: Callable[[Item], Awaitable[Made]], items: Iterable[Item], at_once: int
) -> list[Made]:
    """Await `make` of every item, so many at once; the results in the order of the items."""
    turns = enumerate(items)
    made: dict[int, Made] = {}

    async def work() -> None:
        for place, item in turns:
            made[place] = await make(item)

    await together(work() for _ in range(at_once))
    return [made[place] for place in range(len(made))]


async def together(works: Iterable[Coroutine[None, None, None]]) -> None:
    """Run all of them at once. The first error is raised, when it has ended the others."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except ExceptionGroup as several:
        raise several.exceptions[0] from None
