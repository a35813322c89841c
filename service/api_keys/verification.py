"""Checks the API key of a request, seldom by asking the user store.

A key that was right is remembered by the digest of its text, and looked up again while it is used:
beside the requests where these are many, so that none of them waits. What is remembered is bounded
by the number of keys that there are: a wrong one is never kept.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime, timedelta

from service.api_keys import tokens
from service.api_keys.keys import ApiKey
from service.api_keys.store import ApiKeyStore, StoredKey
from service.clock import Clock
from service.errors import InvalidApiKey, StoreUnavailable
from service.rate_limits import Counter, RateLimits
from service.sessions.origin import RequestOrigin, network

GOOD_FOR = 2.0
"""Seconds within which a process hears that a key was revoked."""

LOOKED_UP_EACH = 1.0
"""Seconds after which a key that is used is looked up again, beside the request."""

WITHOUT_STORE = 60.0
"""Seconds that a key stays good while the user store cannot be asked."""

_NEXT_TRY = 5.0
_USE_NOTED_EACH = timedelta(minutes=1)


class _Known:
    """A key that was right when it was last looked up. Times are of the monotonic clock."""

    __slots__ = ("good_until", "key", "look_at", "looked_up", "looking")

    def __init__(self, key: ApiKey, asked: float) -> None:
        self.looking: asyncio.Task[None] | None = None
        self.found(key, asked)

    def found(self, key: ApiKey, asked: float) -> None:
        """Take over what the store said to a question of that time."""
        self.key = key
        self.looked_up = asked
        self.look_at = asked + LOOKED_UP_EACH
        self.good_until = asked + GOOD_FOR

    def go_on_without(self, now: float) -> None:
        """Go on with what was found before, for a while."""
        self.look_at = now + LOOKED_UP_EACH
        self.good_until = min(now + _NEXT_TRY, self.looked_up + WITHOUT_STORE)


class ApiKeys:
    """Knows the keys that are shown to this process."""

    def __init__(
        self,
        store: ApiKeyStore,
        rate_limits: RateLimits,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know none yet. `clock` decides what has expired, `monotonic` what is looked up again."""
        self._store = store
        self._rate_limits = rate_limits
        self._clock = clock
        self._monotonic = monotonic
        self._known: dict[bytes, _Known] = {}
        self._meetings: dict[tuple[bytes, str], asyncio.Task[ApiKey]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def verify(self, text: str, origin: Callable[[], RequestOrigin]) -> ApiKey:
        """Check a key that was shown by whom `origin` tells.

        An expired one is refused at once, a revoked one within `GOOD_FOR`.

        Raises:
            InvalidApiKey: it is none of ours, expired, or revoked; which one is not told.
            TooManyAttempts: too many wrong ones came from this network; only keys that this
                process knows already are let through.
            StoreUnavailable
        """
        digest = hashlib.sha256(text.encode()).digest()
        known = self._known.get(digest)
        if known is None:
            token = tokens.read(text)
            if token is None:
                raise InvalidApiKey
            return await self._meet_once(token, origin())
        now = self._monotonic()
        if now >= known.look_at and known.looking is None:
            known.looking = self._begin(self._look_again(digest, known))
        if now >= known.good_until and known.looking is not None:
            await asyncio.shield(known.looking)
            if self._monotonic() >= known.good_until:
                raise StoreUnavailable("the user store cannot tell whether the API key is good")
        if self._known.get(digest) is not known or not known.key.is_good_at(self._clock()):
            raise InvalidApiKey
        return known.key

    async def aclose(self) -> None:
        """Wait for what is being looked up and noted."""
        await asyncio.gather(*self._tasks, *self._meetings.values(), return_exceptions=True)

    async def _meet_once(self, token: tokens.KeyText, origin: RequestOrigin) -> ApiKey:
        """Meet a key that this process does not know: once, for all who show it at that moment.

        Else a gateway that has many requests open would reach the limit with a right key.
        """
        place = (token.digest, network(origin.address))
        meeting = self._meetings.get(place)
        if meeting is None:
            meeting = self._meetings[place] = asyncio.create_task(self._meet(token, place[1]))
            meeting.add_done_callback(lambda _: self._meetings.pop(place))
        return await asyncio.shield(meeting)

    async def _meet(self, token: tokens.KeyText, from_network: str) -> ApiKey:
        """Look a key up that this process does not know."""
        async with self._limited(from_network):
            asked = self._monotonic()
            stored = await self._store.find(token.id)
            key = self._good(stored, token.digest)
            if key is None:
                raise InvalidApiKey
            known = self._known.setdefault(token.digest, _Known(key, asked))
            known.found(key, asked)
            self._note_use(key)
            return key

    def _limited(self, from_network: str) -> AbstractAsyncContextManager[None]:
        limit = self._rate_limits.limits.api_keys
        counters: list[Counter] = []
        if limit is not None:
            counters = [Counter(limit, self._rate_limits.subject(limit.name, from_network))]
        return self._rate_limits.limited(counters[0].subject if counters else b"", counters)

    async def _look_again(self, digest: bytes, known: _Known) -> None:
        try:
            asked = self._monotonic()
            try:
                stored = await self._store.find(known.key.id)
            except StoreUnavailable:
                known.go_on_without(self._monotonic())
                return
            key = self._good(stored, digest)
            if key is None:
                self._known.pop(digest, None)
                known.good_until = asked + GOOD_FOR  # nobody waits: whoever looks finds it gone
                return
            known.found(key, asked)
            self._note_use(key)
        finally:
            known.looking = None

    def _good(self, stored: StoredKey | None, digest: bytes) -> ApiKey | None:
        if stored is None or not hmac.compare_digest(stored.digest, digest):
            return None
        return stored.key if stored.key.is_good_at(self._clock()) else None

    def _note_use(self, key: ApiKey) -> None:
        """Note that a key is used, at most once a minute, and without anybody waiting for it."""
        now = self._clock()
        if key.last_used_at is None or now - key.last_used_at > _USE_NOTED_EACH:
            self._begin(self._write_use(key.id, now))

    async def _write_use(self, key_id: bytes, now: datetime) -> None:
        with suppress(StoreUnavailable):  # it is noted the next time
            await self._store.note_use(key_id, now)

    def _begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
