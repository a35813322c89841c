"""Cut-offs: the end of all sessions of a user, or of everybody's, each in one step.

A change of an account that ends its sessions goes so, whatever it is (`row_version.py`):

1. `announce`. Nobody opens a session by a row that they read before, and nothing is refreshed
   before the user store was asked.
2. The user store is written: the new version of the row, and `sessions_from`, the same. A session
   remembers by which version it was opened; below that one it is over, whoever finds out. No clock
   says so: a time that was taken before the write could not tell a login by the old row that opens
   its session after it.
3. `end_all` with that version: the index goes, guards are told a time, the version is published.

Whoever is killed between leaves the row changing: all others ask the user store, and whoever then
meets a session from before calls `end_older`, which does what is left of the third step.
"""

import asyncio
from collections.abc import Callable
from typing import Literal

from service.errors import SettingsError
from service.redis.client import RedisClient
from service.redis.keys import BUCKETS, numbered
from service.sessions import scripts
from service.sessions.origin import RequestOrigin
from service.sessions.row_version import HIGHEST

FeedKinds = Literal[1, 2, 3]
"""What guards are told. 1: the end of one session; 2: cut-offs besides; 3: heartbeats besides."""


def _tell_nobody(reason: str, sessions: int) -> None:
    """Do nothing."""


class CutOffs:
    """Ends all sessions at once. Any method may raise `StoreUnavailable`."""

    def __init__(self, redis: RedisClient, feed_life: int, kinds: FeedKinds) -> None:
        """Take the store, how long the feed keeps an entry (ms), and what guards understand."""
        self._redis = redis
        self._feed_life = feed_life
        self._kinds = kinds
        self.on_ended: Callable[[str, int], None] = _tell_nobody
        """Called with the reason, or the event where there is none, and the number of sessions."""

    async def announce(self, user_id: bytes, origin: RequestOrigin) -> None:
        """Announce a change of the user's row: before the user store is written."""
        await scripts.announce(self._redis, user_id, origin)

    async def call_off(self, user_id: bytes, origin: RequestOrigin) -> None:
        """Publish that an announced change was not made: the row is as it was."""
        await scripts.call_off(self._redis, user_id, origin)

    async def end_all(
        self,
        user_id: bytes,
        origin: RequestOrigin,
        *,
        reason: str,
        by: str = "",
        event: str = "user.sessionsEnded",
        keep: bytes | None = None,
        row_version: int | None = None,
        deleted: bool = False,
    ) -> int:
        """End a user's sessions, but for `keep`, and return how many have ended.

        `row_version` is that of a change that was announced, and is published in the same step;
        sessions that were opened by that row, or meanwhile by a later one, stay. `deleted`: there
        is no row any more, and nobody who has read it before opens a session. Without either, where
        no session has ended nothing is written, no event either.
        """
        version: int | str = HIGHEST if deleted else "" if row_version is None else row_version
        return await self._end(user_id, origin, keep or b"", version, version, event, reason, by)

    async def end_others(
        self,
        user_id: bytes,
        origin: RequestOrigin,
        keep: bytes,
        *,
        reason: str,
        row_version: int | None = None,
    ) -> int:
        """End all sessions but the one that asks, `keep`. Return how many have ended.

        To be called twice where that belongs to a change of the row that spares `keep`, and so has
        no `sessions_from` of its own. First before the row is written: whoever is killed after that
        has ended them. Then with the row's version: logins by the old row have come meanwhile.
        """
        by = keep.hex()
        return await self.end_all(
            user_id, origin, reason=reason, by=by, keep=keep, row_version=row_version
        )

    async def end_older(
        self, user_id: bytes, sessions_from: int, origin: RequestOrigin, *, reason: str
    ) -> int:
        """End the sessions from before this version of the user's row. Return how many have ended.

        For whoever finds one: what was to end them was killed on the way.
        """
        event = "user.sessionsEnded"
        return await self._end(user_id, origin, b"", sessions_from, "", event, reason, "")

    async def _end(
        self,
        user_id: bytes,
        origin: RequestOrigin,
        keep: bytes,
        from_version: int | str,
        row_version: int | str,
        event: str,
        reason: str,
        by: str,
    ) -> int:
        ended: int
        ended, number = await scripts.end_all(
            self._redis,
            user_id,
            origin,
            keep_id=keep,
            from_version=from_version,
            row_version=row_version,
            event=event,
            reason=reason,
            by=by,
            kinds=self._kinds,
            feed_life=self._feed_life,
        )
        self._redis.fence.note(user_id, number, user_id)
        self.on_ended(reason or event, ended)
        return ended

    async def everybody(self, origin: RequestOrigin, *, reason: str, by: str) -> None:
        """End everybody's sessions, all buckets at once: who is killed on the way does it again.

        Raises:
            SettingsError: guards of before would not hear of it.
        """
        if self._kinds == 1:
            raise SettingsError(
                "SERVICE_FEED_KINDS=1: guards of before know no cut-off of everybody;"
                " set it to 2 once all guards are new"
            )
        buckets = (self._bucket(each, origin, reason, by) for each in range(BUCKETS))
        for outcome in await asyncio.gather(*buckets, return_exceptions=True):
            if isinstance(outcome, BaseException):  # the others are done by now
                raise outcome

    async def _bucket(self, number: int, origin: RequestOrigin, reason: str, by: str) -> None:
        keys = numbered(number)
        entry: int = await scripts.cut_off_everybody(
            self._redis,
            events=keys.events,
            before=keys.before,
            revoked=keys.revoked,
            revocations=keys.revocations,
            user="",
            ip=origin.address_text,
            request=origin.request_id,
            reason=reason,
            by=by,
            feed_life=self._feed_life,
        )
        self._redis.fence.note(bytes((number,)), entry)
