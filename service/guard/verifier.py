"""The check that an app pod makes of every request."""

import time
from collections.abc import Callable
from datetime import timedelta
from math import ceil
from types import TracebackType
from typing import Self

from ..access_tokens.cache import Cache
from ..access_tokens.reader import SIGNATURE_TEXT, Keys
from ..redis.keys import FEED_SKEW
from .counters import GuardCounters
from .errors import GuardUnavailable, TokenRefused
from .feed_timing import FeedTiming
from .identity import Identity
from .lifecycle import Lifecycle
from .options import Mode, WhenLost, checked
from .rate_limited_log import RateLimitedLog
from .revocations import shards
from .running import Running
from .sources import NewSources, Sources
from .token_reading import KeySource, TokenReading
from .verified_token import VerifiedToken


class Verifier:
    """Checks access tokens. One for a process and event loop; use it as `async with`.

    Modes: `feed`, the default, knows of ends of sessions within milliseconds, and never later than
    `bound`; `strict` asks Redis each time; `offline` looks at signature and expiry only.

    A feed that is older than `bound`, of which entries are missing, or that does not bear the mark
    of this issuer, is lost. Then, `when_lost`: `closed` lets nobody in, `ask` asks Redis each time,
    `serve` goes by what is known.

    Whoever was refused because their session has ended is never let in again, whatever Redis says.
    It may be entered again once it was left, also in another event loop, and remembers who.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        jwks_url: str,
        redis_url: str = "",
        mode: Mode = "feed",
        when_lost: WhenLost = "closed",
        bound: timedelta | float = timedelta(seconds=5),
        access_ttl: timedelta | float = timedelta(minutes=15),
        jwks_floor: timedelta | float = timedelta(seconds=10),
        jwks_proxy: str = "",
        cache_size: int = 16_384,
        pod: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Check the options. Nothing is sent yet. Times are a timedelta or seconds.

        `issuer`, `audience`: what tokens must say. `access_ttl`: the service's SERVICE_ACCESS_TTL;
        tokens that live longer are refused, as the ends of their sessions would be forgotten too
        early. `jwks_floor`: between two fetches of the keys. `jwks_proxy`: for them; those of the
        environment are not used. `cache_size`: tokens whose signature need not be verified
        again; 0: none. `pod`: a name for the list of guards. `clock`: seconds since 1970.

        Raises:
            ValueError: a parameter, which it names, cannot be used.
        """
        options = checked(
            issuer=issuer,
            audience=audience,
            jwks_url=jwks_url,
            jwks_proxy=jwks_proxy,
            redis_url=redis_url,
            mode=mode,
            when_lost=when_lost,
            bound=bound,
            access_ttl=access_ttl,
            jwks_floor=jwks_floor,
            cache_size=cache_size,
            pod=pod,
            clock=clock,
        )
        self.counters = GuardCounters()
        self.options = self._options = options
        self._clock = clock
        life = options.access_ttl + FEED_SKEW.total_seconds()
        self._timing = FeedTiming(options.bound, life)
        self._shards = shards(life, time.monotonic())
        self._cache = Cache[str, VerifiedToken](cache_size)
        self._log = RateLimitedLog()
        self._reading = TokenReading(options, life, self._shards, self._log)
        self._new_sources: NewSources = Running
        self._lifecycle = Lifecycle(self._new_run, self._trust_nothing)

    async def __aenter__(self) -> Self:
        """Fetch the keys and read the feed in. Comes up within `bound` or so, whatever is down.

        Raises:
            RuntimeError: it runs already.
        """
        await self._lifecycle.enter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._lifecycle.leave()

    async def start_late(self, *, expected: bool = False) -> None:
        """Start with a request, under a server that tells apps neither of its start nor of its end.

        All requests that find the verifier not started share one start. One that was left stays so.
        `expected`: no log need tell of it.
        """
        await self._lifecycle.start_late(expected=expected)

    @property
    def feed_lost(self) -> bool:
        """Whether the feed is lost, be it for the users of one bucket only."""
        now = time.monotonic()
        followed = self._options.mode == "feed"
        return followed and any(now >= shard.known_until for shard in self._shards)

    @property
    def remembered(self) -> int:
        """How many ends of sessions and cut-offs of users it remembers."""
        return sum(map(len, self._shards))

    async def verify(self, token: str) -> Identity:
        """Check an access token, and return the identity behind it.

        Raises:
            TokenRefused: it does not count; what is no text, neither.
            GuardUnavailable: that cannot be said now; `NotStarted`: as nobody has entered it.
        """
        counters = self.counters
        try:
            # A text has no other class than this one, lest it say something else each time.
            if type(token) is not str:
                raise TokenRefused
            # A hash with a secret key finds the signature, so how long that takes tells nothing of
            # those of others; the rest is compared only with whoever knows the signature.
            signature = token[-SIGNATURE_TEXT:]
            verified = self._cache.young.get(signature) or self._cache.recall(signature)
            if verified is None or verified.token != token:
                verified = await self._reading.read(token, self._keys)
                self._cache.keep(signature, verified)
            else:
                counters.cached += 1
            if verified.expires_at <= self._clock():
                self._cache.drop(signature)
                raise TokenRefused
            # Only the feed sets `known_until`, so this is always so in the other modes.
            if time.monotonic() >= verified.ends.known_until:
                await self._look_again(verified)
        except TokenRefused:
            counters.refused += 1
            raise
        except GuardUnavailable:
            counters.unavailable += 1
            raise
        counters.verified += 1
        return verified.identity

    def known(self, token: str) -> Identity | None:
        """Return the identity behind a token about which nothing need be found out; else None.

        It may be called from any thread, and says what `verify` would say at this moment.
        """
        if type(token) is not str:
            return None
        verified = self._cache.young.get(token[-SIGNATURE_TEXT:])
        if (
            verified is None
            or verified.token != token
            or verified.expires_at <= self._clock()
            or time.monotonic() >= verified.ends.known_until
        ):
            return None
        self.counters.cached += 1
        self.counters.verified += 1
        return verified.identity

    def draw_on(self, new_sources: NewSources | None) -> None:
        """Take keys and feed from elsewhere in runs to come, for tests; None: as before.

        Raises:
            RuntimeError: it runs already.
        """
        if new_sources is not None and self._lifecycle.runs:
            raise RuntimeError("this Verifier runs already: stand in for it before the app starts")
        self._lifecycle.forget()
        self._new_sources = Running if new_sources is None else new_sources

    def forget_run(self) -> None:
        """Know nothing of a run that was begun in the process that this one was forked from."""
        self._lifecycle.forget()

    def _keys(self) -> KeySource:
        return self._lifecycle.current().keys

    def _new_run(self) -> Sources:
        return self._new_sources(
            self._options, self._timing, self._shards, self.counters, self._log, self._use
        )

    def _trust_nothing(self) -> None:
        """Trust neither feed nor keys: nobody looks after them. Who was refused stays refused."""
        for shard in self._shards:
            shard.known_until = float("-inf")
        self._use({})

    async def _look_again(self, verified: VerifiedToken) -> None:
        """Compare a token with new cut-offs. Then go by the mode, where the feed does not tell."""
        if (mode := self._options.mode) != "offline" and verified.has_ended():
            raise TokenRefused
        if mode == "offline" or time.monotonic() < verified.ends.known_until:
            return
        running, when_lost = self._lifecycle.current(), self._options.when_lost
        if running.feed is not None:
            self._log.warning("the revocation feed is lost: %s", when_lost)
            if when_lost == "serve":
                self.counters.served_stale += 1
                return
            if when_lost == "closed":
                raise GuardUnavailable(ceil(running.feed.incomplete_for(verified.bucket)) or 1)
        if running.questions is None:
            raise GuardUnavailable(1)
        self.counters.asked += 1
        shard, session_id = verified.ends.shard, verified.session_id
        if not await running.questions.lives(
            verified.bucket, verified.user_id, session_id, verified.opened_at
        ):
            shard.add(session_id)
            shard.turn(time.monotonic(), self._clock())
        # Somebody else may have had another answer while this one was on its way.
        if verified.has_ended() or verified.expires_at <= self._clock():
            raise TokenRefused

    def _use(self, keys: Keys) -> None:
        """Use new keys of the issuer: what a key had signed that is gone must not be served."""
        self._reading.use(keys)
        self._cache.clear()
