"""Tells other processes, through the user store, what this one alone has answered for."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from service.errors import StoreUnavailable
from service.redis.fence import Fence
from service.rollback.known import Known
from service.rollback.store import RollbackStore


class Publishing:
    """Tells it in the background, one time after the other."""

    def __init__(self, store: RollbackStore, fence: Fence, known: Known) -> None:
        """Tell nothing yet."""
        self._store = store
        self._fence = fence
        self._known = known
        self.tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def begin(self) -> None:
        """Begin to tell it, if the user store does not know it."""
        known, answered = self._known.numbers or {}, self._fence.answered
        ours = {each: number for each, number in enumerate(answered) if number > known.get(each, 0)}
        if ours and not self.tasks and not self._closed:
            task = asyncio.create_task(self._publish(ours))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def aclose(self) -> None:
        """Tell it for the last time, and wait for what is under way."""
        self.begin()
        self._closed = True
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _publish(self, ours: Mapping[int, int]) -> None:
        with suppress(StoreUnavailable):  # the next look tries again, as it is fenced
            await self._store.raise_to(ours)
