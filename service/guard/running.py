"""One run of a verifier: the issuer's keys, the feed, and the lookup of sessions."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from ..access_tokens.reader import Keys
from ..redis.guard_position import LONGEST, About
from .counters import GuardCounters
from .feed import Feed
from .feed_timing import FeedTiming
from .jwks import JwkSet
from .marks import Marks
from .options import Options
from .rate_limited_log import RateLimitedLog
from .revocations import Shard
from .session_lookup import SessionLookup
from .sources import OfOneLoop

logger = logging.getLogger("openshow_auth.guard")

_LEAST_PATIENCE = 2.0
"""Seconds for the first fetch of the keys and the first read of the feed, however short the bound
is: what a process does for the first time takes it longer."""


class Running(OfOneLoop):
    """Tasks and connections of one event loop, from `start` to `aclose`."""

    def __init__(
        self,
        options: Options,
        timing: FeedTiming,
        shards: Sequence[Shard],
        counters: GuardCounters,
        log: RateLimitedLog,
        use: Callable[[Keys], None],
    ) -> None:
        """Prepare a run. `use` gets each new set of keys."""
        self._timing = timing
        super().__init__()
        self.keys = JwkSet(options.jwks_url, use, options.jwks_floor, counters, options.jwks_proxy)
        self.feed: Feed | None = None
        self.questions: SessionLookup | None = None
        if options.redis is not None:
            marks = Marks(options.issuer, log)
            self.questions = SessionLookup(
                options.redis, timing.timeout, timing.check_interval, marks
            )
            if options.mode == "feed":
                about = About(options.pod[:LONGEST], _version(), options.mode, options.when_lost)
                self.feed = Feed(
                    options.redis, shards, timing, counters, options.clock, marks, about
                )

    async def start(self) -> None:
        """Fetch the keys and read the feed in. Comes up within `bound` or so, whatever is down."""
        patience = max(self._timing.bound, _LEAST_PATIENCE)
        keys = self.keys.start(patience)
        if self.feed is None:
            await keys
            return
        _, read_in = await asyncio.gather(keys, self.feed.start(patience))
        if not read_in:
            logger.warning("the revocation feed could not be read in yet")

    async def aclose(self) -> None:
        """Stop all of it."""
        await self.keys.aclose()
        if self.feed is not None:
            await self.feed.aclose()
        if self.questions is not None:
            await self.questions.aclose()


def _version() -> str:
    """Find the version of the distribution that this is part of."""
    for name in ("openshow-guard", "openshow-auth"):
        with suppress(PackageNotFoundError):
            return version(name)
    return ""
