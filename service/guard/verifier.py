"""The check that an app pod makes of every request."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from math import ceil
from types import TracebackType
from typing import Literal, Self, get_args

from service.guard.access_tokens import AccessTokenReader, Claims, Keys, UnknownKey
from service.guard.cache import Admission, Cache
from service.guard.counters import GuardCounters
from service.guard.errors import GuardUnavailable, TokenRefused
from service.guard.feed import Feed
from service.guard.identity import Identity
from service.guard.jwks import JwkSet
from service.guard.marks import Marks
from service.guard.questions import Questions
from service.guard.rate_limited_log import RateLimitedLog
from service.guard.reader import Pace
from service.guard.revocations import shards
from service.keyspace.keys import FEED_SKEW, bucket_number
from service.keyspace.url import RedisUrl

logger = logging.getLogger("openshow_auth.guard")

Mode = Literal["feed", "strict", "offline"]
WhenLost = Literal["closed", "ask", "serve"]


class Verifier:
    """Checks access tokens. One for a process and event loop; use it as `async with`.

    Modes: `feed`, the default, knows of ends of sessions within milliseconds, and never later than
    `bound`; `strict` asks Redis each time; `offline` looks at signature and expiry only.

    A feed that is older than `bound`, or of which entries are missing, is lost. Then, `when_lost`:
    `closed` lets nobody in, `ask` asks Redis each time, `serve` goes by what is known.

    Whoever was refused because their session has ended is never let in again, whatever Redis says.
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
        bound: timedelta = timedelta(seconds=5),
        access_ttl: timedelta = timedelta(minutes=15),
        jwks_floor: timedelta = timedelta(seconds=10),
        cache_size: int = 16_384,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is sent yet.

        `issuer`, `audience`: what tokens must say. `access_ttl`: the service's SERVICE_ACCESS_TTL;
        tokens that live longer are refused, as the ends of their sessions would be forgotten too
        early. `jwks_floor`: between two fetches of the keys. `cache_size`: tokens
        whose signature need not be verified again; 0 for none. `clock`: seconds since 1970.

        Raises:
            ValueError: a URL cannot be read, or a mode has no such name.
        """
        if mode not in get_args(Mode) or when_lost not in get_args(WhenLost):
            raise ValueError("no such mode")
        if not jwks_url.startswith(("https://", "http://")):
            raise ValueError("jwks_url must begin with https:// or http://")
        self.counters = GuardCounters()
        self._clock = clock
        self._when_lost = when_lost
        self._longest_life = access_ttl.total_seconds()
        self._jwks_floor = jwks_floor.total_seconds()
        life = (access_ttl + FEED_SKEW).total_seconds()
        self._pace = Pace(bound.total_seconds(), life)
        self._shards = shards(life, time.monotonic())
        self._cache = Cache[Admission](cache_size)
        self._reader = AccessTokenReader({}, issuer=issuer, audience=audience)
        self._keys = JwkSet(jwks_url, self._use, self._jwks_floor, self.counters)
        self._feed: Feed | None = None
        self._questions: Questions | None = None
        self._log = RateLimitedLog()
        if mode != "offline":
            url = RedisUrl.parse(redis_url)
            marks = Marks(issuer, self._log)
            self._questions = Questions(url, self._pace.patience, self._pace.pulse, marks)
            if mode == "feed":
                self._feed = Feed(url, self._shards, self._pace, self.counters, marks)

    async def __aenter__(self) -> Self:
        """Fetch the keys and read the feed in. Comes up within `bound` or so, whatever is down."""
        try:
            await self._keys.start()
            if self._feed is not None and not await self._feed.start(self._pace.bound):
                logger.warning("the revocation feed could not be read in yet")
        except BaseException:  # a start that is cancelled leaves nothing behind
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    @property
    def feed_lost(self) -> bool:
        """Whether the feed is lost, be it for the users of one bucket only."""
        now = time.monotonic()
        return self._feed is not None and any(now >= shard.known_until for shard in self._shards)

    async def verify(self, token: str) -> Identity:
        """The identity behind an access token.

        Raises:
            TokenRefused: it does not count.
            GuardUnavailable: that cannot be said now.
        """
        counters = self.counters
        try:
            digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
            admission = self._cache.young.get(digest) or self._cache.recall(digest)
            if admission is None:
                admission = self._admit(await self._read(token))
                self._cache.keep(digest, admission)
            else:
                counters.cached += 1
            shard, session_id = admission.shard, admission.session_id
            if (
                session_id in shard.young
                or session_id in shard.old
                or admission.expires_at <= self._clock()
            ):
                self._cache.drop(digest)
                raise TokenRefused
            # Only the feed sets `known_until`, so this is never so in the other modes.
            if time.monotonic() >= shard.known_until:
                await self._look_elsewhere(admission)
        except TokenRefused:
            counters.refused += 1
            raise
        except GuardUnavailable:
            counters.unavailable += 1
            raise
        counters.verified += 1
        return admission.identity

    async def _stop(self) -> None:
        await self._keys.aclose()
        if self._feed is not None:
            await self._feed.aclose()
        if self._questions is not None:
            await self._questions.aclose()

    async def _read(self, token: str) -> Claims:
        """The claims of a token. Looks for its key at the issuer if it is not known."""
        try:
            return self._reader.read(token, self._clock())
        except UnknownKey:
            await self._keys.look_again()
        try:
            return self._reader.read(token, self._clock())
        except UnknownKey:
            if self._keys.sure:
                raise
            raise GuardUnavailable(ceil(self._jwks_floor) or 1) from None

    def _admit(self, claims: Claims) -> Admission:
        """What is kept of a verified token."""
        if claims.exp - claims.iat > self._longest_life:
            self._log.warning("access tokens live longer than access_ttl: they are refused")
            raise TokenRefused
        number = bucket_number(bytes.fromhex(claims.sub))
        return Admission(
            identity=Identity(
                user_id=claims.sub,
                session_id=claims.sid,
                auth_time=claims.auth_time,
                methods=claims.amr,
                expires_at=claims.exp,
            ),
            session_id=bytes.fromhex(claims.sid),
            expires_at=claims.exp,
            bucket=number,
            shard=self._shards[number],
        )

    async def _look_elsewhere(self, admission: Admission) -> None:
        """Go by the mode, where the feed does not tell."""
        if self._questions is None:  # offline
            return
        if self._feed is not None:
            self._log.warning("the revocation feed is lost: %s", self._when_lost)
            if self._when_lost == "serve":
                self.counters.served_stale += 1
                return
            if self._when_lost == "closed":
                raise GuardUnavailable(ceil(self._feed.doubtful_for(admission.bucket)) or 1)
        self.counters.asked += 1
        user_id = bytes.fromhex(admission.identity.user_id)
        shard, session_id = admission.shard, admission.session_id
        if not await self._questions.lives(admission.bucket, user_id, session_id):
            shard.add(session_id)
            shard.turn(time.monotonic())
        # Somebody else may have had another answer while this one was on its way.
        if session_id in shard or admission.expires_at <= self._clock():
            raise TokenRefused

    def _use(self, keys: Keys) -> None:
        """The issuer's keys have changed: what a key had signed that is gone must not be served."""
        self._reader.use(keys)
        self._cache.clear()
