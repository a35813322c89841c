"""Where a verifier's keys and its knowledge of ended sessions come from, for as long as it runs."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from ..access_tokens.reader import Keys
from .counters import GuardCounters
from .feed_timing import FeedTiming
from .options import Options
from .rate_limited_log import RateLimitedLog
from .revocations import Shard
from .token_reading import KeySource


class FeedSource(Protocol):
    """Fills the shards, and says until when each of them knows all."""

    def incomplete_for(self, bucket: int) -> float:
        """Return for how many seconds entries of this bucket count as missing; 0: none do."""


class SessionSource(Protocol):
    """Is asked where the feed does not tell."""

    async def lives(self, bucket: int, user_id: bytes, session_id: bytes, opened_at: int) -> bool:
        """Find out whether a session lives. Raises GuardUnavailable: that is not known."""


class Sources(Protocol):
    """All of them, of one event loop, from `start` to `aclose`: the issuer's (`running.py`), or
    those of a test (`fake_run.py`)."""

    @property
    def keys(self) -> KeySource: ...

    @property
    def feed(self) -> FeedSource | None:
        """None: ends of sessions are not followed."""

    @property
    def questions(self) -> SessionSource | None:
        """None: there is nobody to ask."""

    @property
    def is_here(self) -> bool:
        """Whether they belong to the event loop that asks."""

    @property
    def is_dead(self) -> bool:
        """Whether their event loop was closed."""

    async def start(self) -> None:
        """Begin, and return when all is known or cannot be for the moment."""

    async def aclose(self) -> None:
        """End."""


class NeedsAsyncio(RuntimeError):
    """The guard was started in an event loop that is not asyncio's, such as Trio's."""


class OfOneLoop:
    """What belongs to the event loop that it was made in."""

    def __init__(self) -> None:
        """Belong to the one that runs.

        Raises:
            NeedsAsyncio: there is none of asyncio's.
        """
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            raise NeedsAsyncio("the guard runs in event loops of asyncio only") from None

    @property
    def is_here(self) -> bool:
        """Whether that is the one that asks."""
        return asyncio.get_running_loop() is self.loop

    @property
    def is_dead(self) -> bool:
        """Whether that was closed, and its tasks with it, without an end of their own."""
        return self.loop.is_closed()


NewSources = Callable[
    [
        Options,
        FeedTiming,
        Sequence[Shard],
        GuardCounters,
        RateLimitedLog,
        Callable[[Keys], None],
    ],
    Sources,
]
