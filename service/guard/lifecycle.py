"""The runs of a verifier: when one begins and ends.

It begins when an app enters the verifier, or with a request where the server tells apps neither
of its start nor of its end; it ends when the verifier is left or its event loop is closed.
"""

import asyncio
import logging
from collections.abc import Callable

from .errors import NotStarted
from .sources import Sources

logger = logging.getLogger("openshow_auth.guard")

_NO_LIFESPAN = (
    "no lifespan reaches the guard (the server speaks no lifespan, or the app is mounted inside "
    "another): it starts with the first request"
)
_RUNS_ALREADY = (
    "this Verifier runs already: enter it once, by one of middleware, plugin and install, or make "
    "one for each app and event loop"
)


class Lifecycle:
    """Starts and ends runs: one at a time, in one event loop."""

    def __init__(self, new_run: Callable[[], Sources], on_end: Callable[[], None]) -> None:
        """Start nothing yet. `on_end` is called after a run, however it has ended."""
        self._new_run = new_run
        self._on_end = on_end
        self._running: Sources | None = None
        self._late_start: asyncio.Task[None] | None = None
        self._left = False

    async def enter(self) -> None:
        """Start a run; one that a request has started goes on as if it had been started in time.

        Raises:
            RuntimeError: it runs already.
        """
        self._forget_dead_loop()
        running, late_start = self._running, self._late_start
        if running is not None:
            if late_start is None or not running.is_here:
                raise RuntimeError(_RUNS_ALREADY)
            self._late_start = None
            await asyncio.shield(late_start)
            return
        self._running = running = self._begin()
        try:
            await running.start()
        except BaseException:  # a start that is cancelled leaves nothing behind
            await self.leave()
            raise

    async def leave(self) -> None:
        """End the run."""
        running, self._running, self._late_start = self._running, None, None
        self._left = True
        if running is not None:
            await running.aclose()
        self._on_end()

    async def start_late(self, *, expected: bool) -> None:
        """Start a run with a request. All that find none share one start; once left, it stays so.

        `expected`: nobody was to tell of a start, so the log need not say that nobody did.

        Raises:
            RuntimeError: it runs in another event loop.
        """
        self._forget_dead_loop()
        if self._left:
            return
        if self._running is None:
            if not expected:
                logger.warning(_NO_LIFESPAN)
            self._running = self._begin()
            self._late_start = asyncio.create_task(self._running.start())
        if not self._running.is_here:
            raise RuntimeError(_RUNS_ALREADY)
        if self._late_start is not None:
            await asyncio.shield(self._late_start)

    @property
    def runs(self) -> bool:
        """Whether a run is under way whose event loop still is."""
        return self._running is not None and not self._running.is_dead

    def forget(self) -> None:
        """Be as before the first run. One that is under way is not ended."""
        self._running, self._late_start, self._left = None, None, False
        self._on_end()

    def current(self) -> Sources:
        """Return the present run.

        Raises:
            NotStarted: nothing does, or only just begins to.
        """
        running, late_start = self._running, self._late_start
        if running is None or running.is_dead or (late_start and not late_start.done()):
            raise NotStarted
        return running

    def _begin(self) -> Sources:
        self._left = False
        return self._new_run()

    def _forget_dead_loop(self) -> None:
        if self._running is not None and self._running.is_dead:
            self._running = self._late_start = None
            self._on_end()
