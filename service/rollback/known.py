"""What the user store says that each bucket must have, as of the last time that it has told; and
which other processes run."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from service.errors import StoreUnavailable
from service.redis.refusals import FenceUnknown
from service.rollback.marks import Marks
from service.rollback.reading import Numbers
from service.rollback.store import RollbackStore

_LIVING_EVERY, _FOR_EACH = 2.0, 0.03
"""Seconds between two looks at who runs, for when the user store is away or slow: at least, and for
each that was found, as all of them look."""


class Known:
    """Reads it, once for all who ask at one time, and remembers it while the store is away."""

    def __init__(self, store: RollbackStore, marks: Marks) -> None:
        self._store = store
        self._marks = marks
        self.numbers: Numbers | None = None
        """The highest number of each bucket, by what was read last; `None`: nothing ever was."""
        self.living: Mapping[bytes, float] = {}
        """The other processes, and for how many seconds each is known to run."""
        self._numbers: asyncio.Task[dict[int, int]] | None = None
        self._living: asyncio.Task[dict[bytes, float]] | None = None
        self._is_living_known = False
        self._since = 0.0
        self._living_since = float("-inf")

    def begin(self, *, also_living: bool = False) -> None:
        """Begin to read it anew, unless somebody is reading it; who runs now and then, or now."""
        now = time.monotonic()
        if _is_over(self._numbers):
            self._numbers = asyncio.create_task(self._store.numbers())
            self._numbers.add_done_callback(_look_at)
            self._since = now
        every = max(_LIVING_EVERY, _FOR_EACH * len(self.living))
        is_old = not self._is_living_known or now - self._living_since >= every
        if (also_living or is_old) and _is_over(self._living):
            self._living = asyncio.create_task(self._read_living())
            self._living.add_done_callback(_look_at)
            self._since = self._living_since = now

    async def read(self, patience: float) -> None:
        """Wait for what was begun, `patience` seconds from then; or go by what is known.

        Raises:
            FenceUnknown: nothing is, or not who runs.
        """
        assert self._numbers  # noqa: S101  begun
        left = self._since + patience - time.monotonic()
        if left > 0:  # else it hangs, and was waited for
            await asyncio.wait(self._begun(), timeout=left)
        if self._living is not None and self._living.done():
            with suppress(StoreUnavailable):
                self.living, self._is_living_known = self._living.result(), True
        if self._numbers.done():
            with suppress(StoreUnavailable):
                self.numbers = self._numbers.result()
        if self.numbers is None or not self._is_living_known:
            raise FenceUnknown

    async def _read_living(self) -> dict[bytes, float]:
        living = await self._store.presence.others()
        self._marks.noted = await self._store.marks()
        return living

    async def aclose(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._begun(), return_exceptions=True)

    def _begun(self) -> list["asyncio.Task[Any]"]:
        return [task for task in (self._numbers, self._living) if task is not None]


def _is_over(task: "asyncio.Task[Any] | None") -> bool:
    return task is None or task.done()


def _look_at(ended: "asyncio.Task[Any]") -> None:
    """Look at how it ended: who waited may have given up, and that is no error."""
    if not ended.cancelled():
        ended.exception()
