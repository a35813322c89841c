"""What the user store says that each bucket must have, as of the last time that it has told."""

import asyncio
import time
from contextlib import suppress

from service.errors import StoreUnavailable
from service.redis.refusals import FenceUnknown
from service.rollback.reading import Numbers
from service.rollback.store import RollbackStore


class Known:
    """Reads it, once for all who ask at one time, and remembers it while the store is away."""

    def __init__(self, store: RollbackStore) -> None:
        self._store = store
        self.numbers: Numbers | None = None
        """The highest number of each bucket, by what was read last; `None`: nothing ever was."""
        self._reading: asyncio.Task[dict[int, int]] | None = None
        self._since = 0.0

    def begin(self) -> None:
        """Begin to read it anew, unless somebody is reading it."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._store.numbers())
            self._reading.add_done_callback(_look_at)
            self._since = time.monotonic()

    async def read(self, patience: float) -> None:
        """Wait for what was begun, `patience` seconds from then; or go by what is known.

        Raises:
            FenceUnknown: nothing is.
        """
        assert self._reading  # noqa: S101  begun
        left = self._since + patience - time.monotonic()
        if left > 0:  # else it hangs, and was waited for
            await asyncio.wait({self._reading}, timeout=left)
        if self._reading.done():
            with suppress(StoreUnavailable):
                self.numbers = self._reading.result()
        if self.numbers is None:
            raise FenceUnknown

    async def aclose(self) -> None:
        """Wait for what is under way."""
        reading = () if self._reading is None else (self._reading,)
        await asyncio.gather(*reading, return_exceptions=True)


def _look_at(ended: "asyncio.Task[dict[int, int]]") -> None:
    """Look at how it ended: who waited may have given up, and that is no error."""
    if not ended.cancelled():
        ended.exception()
