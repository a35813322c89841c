"""A run of a verifier that asks nobody: its keys and its feed are a `FakeIssuer`'s."""

import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from ..access_tokens.reader import Keys
from .counters import GuardCounters
from .errors import GuardUnavailable
from .feed_timing import FeedTiming
from .options import Options
from .rate_limited_log import RateLimitedLog
from .revocations import Shard
from .sources import OfOneLoop

_PATIENCE = 10.0


class Issuer(Protocol):
    """What a run hears of its issuer."""

    feed_is_lost: bool

    def join(self, run: "FakeRun") -> None: ...

    def leave(self, run: "FakeRun") -> None: ...


class FakeRun(OfOneLoop):
    """Stands where `Running` would."""

    def __init__(
        self,
        key: EllipticCurvePublicKey,
        kid: str,
        issuer: Issuer,
        options: Options,
        timing: FeedTiming,
        shards: Sequence[Shard],
        counters: GuardCounters,
        log: RateLimitedLog,
        use: Callable[[Keys], None],
    ) -> None:
        """Prepare a run. `use` gets the key."""
        self.shards = shards
        self._keys = {kid: key}
        self._issuer = issuer
        self._use = use
        super().__init__()
        self.keys = _Keys()
        self.feed = _Feed() if options.mode == "feed" else None
        self.questions = _SessionLookup(self) if options.redis is not None else None

    @property
    def is_lost(self) -> bool:
        """Whether the issuer's Redis does not answer."""
        return self._issuer.feed_is_lost

    async def start(self) -> None:
        """Hear of the key, and of all that has ended."""
        self._use(self._keys)
        if self.questions is not None:  # else nobody tells it
            self._issuer.join(self)
            self.confirm()

    async def aclose(self) -> None:
        """Hear no more."""
        self._issuer.leave(self)

    def confirm(self) -> None:
        """Be sure of the feed, or not, as the issuer says."""
        if self.feed is not None:
            for shard in self.shards:
                shard.known_until = -math.inf if self.is_lost else math.inf

    def let(self, do: "Callable[[FakeRun], None]") -> None:
        """Do something in the verifier's event loop, and wait until it is done."""
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self.loop or not self.loop.is_running():
            do(self)
            return
        done = Future[None]()

        def work() -> None:
            do(self)
            done.set_result(None)

        self.loop.call_soon_threadsafe(work)
        done.result(_PATIENCE)


class _Keys:
    """Knows all keys that there are."""

    sure = True

    async def look_again(self) -> None:
        """Find nothing new."""


class _Feed:
    """Is whole, or lost for reasons that pass."""

    def incomplete_for(self, bucket: int) -> float:
        return 0


class _SessionLookup:
    """Asks what the run has been told."""

    def __init__(self, run: FakeRun) -> None:
        self._run = run

    async def lives(self, bucket: int, user_id: bytes, session_id: bytes, opened_at: int) -> bool:
        if self._run.is_lost:
            raise GuardUnavailable(1)
        return not self._run.shards[bucket].has_ended(user_id, session_id, opened_at)
