"""One fetch at a time: whoever needs what is on its way waits for it, and does not ask again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from service.openid.budget import in_time

A = TypeVar("A")


class SingleFlight(Generic[A]):
    """Shares one fetch among all who ask for it while it lasts.

    It has a budget of its own, as it goes on when who began it has left.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[A] | None = None

    @property
    def is_on(self) -> bool:
        """Whether one is on its way."""
        return self._task is not None

    async def do(self, fetch: Callable[[], Awaitable[A]]) -> A:
        """Fetch, or wait for the fetch that is on its way. Raises as that does."""
        if self._task is None:
            self._task = asyncio.create_task(_bounded(fetch))
            self._task.add_done_callback(self._done)
        return await asyncio.shield(self._task)

    def _done(self, task: "asyncio.Task[A]") -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # whoever waits has it; where nobody does, nothing is to be said


async def _bounded(fetch: Callable[[], Awaitable[A]]) -> A:
    async with in_time():
        return await fetch()
