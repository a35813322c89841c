"""Which sessions are a provider's, so that they end when the provider says that it has logged out.

A session that was opened by a login at a provider is noted under the digest of issuer and subject,
and of issuer and the provider's own session, if that has a name. Both lie in the bucket of the
digest: who is logged out there is known by these names alone.

    ticket:{b}:upstream:<digest>   hash: user id and session id → when it was noted, ms
    ticket:{b}:ended:<digest>      when the latest logout of late came, ms; no two at one time

It is noted before it is opened; then nobody has missed it. A logout that comes between the login at
the provider and the opening ends nothing yet: so who logs in remembers the latest, and looks again
once the session is open (`has_ended`). One that came before it is known here who logs in, while the
person was at the provider, ends the login as well: it came since the login has begun here.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from service.clock import Clock, milliseconds
from service.opaque_tokens import DIGEST
from service.redis.client import RedisClient
from service.redis.keys import UPSTREAM_LOGOUT_LEASE, UPSTREAM_LOGOUT_LIFE, bucket
from service.redis.scripts import Key, script
from service.sessions import scripts
from service.sessions.origin import RequestOrigin
from service.sessions.refresh_tokens import USER_ID

_SLACK = 64
"""Sessions that were noted and then not opened, beyond those that a user may have."""

_AT_ONCE = 32
"""Sessions that are ended at once: each waits for the disk, and together they wait once."""

_OVER = -1
"""What a login has seen that was over by then; no logout has this number."""


class UpstreamLogin(msgspec.Struct, frozen=True, array_like=True):
    """A login at a provider: its digests, and the latest logout that each had seen by then.

    Versions of before have counted logouts: to all that matters is whether it is another one.
    """

    digests: Sequence[bytes]
    seen: Sequence[int]

    @property
    def is_over(self) -> bool:
        """Whether the provider had logged out again by then."""
        return _OVER in self.seen


class LoggedOut(msgspec.Struct, frozen=True):
    """Sessions whose provider has logged out, under which digest, and how many have lived."""

    count: int
    digest: bytes
    members: Sequence[bytes]


@script("sessions/upstream.lua")
def _note(*, provider_sessions: Key, member: bytes, now: int, life: int, most: int) -> Any:
    """Note a session of a provider's."""


@script(
    text="""
-- Outcome: the sessions, each as a user id and a session id
local members, found = redis.call('HGETALL', provider_sessions), {}
for i = 1, #members, 2 do found[#found + 1] = members[i] end
local time, last = redis.call('TIME'), redis.call('GET', ended) or 0
local now = math.max(time[1] * 1000 + math.floor(time[2] / 1000), last + 1)
redis.call('SET', ended, string.format('%.0f', now), 'PX', life)
return found
"""
)
def _note_logout(*, provider_sessions: Key, ended: Key, life: int) -> Any:
    """Note a logout, and read whose it is."""


class UpstreamSessions:
    """Knows and ends sessions of providers. Any method may raise `StoreUnavailable`."""

    def __init__(
        self, redis: RedisClient, life: timedelta, most_per_user: int, feed_life: int, clock: Clock
    ) -> None:
        """Take the store. `life`: of a session, at the most, with all that comes before it."""
        self._redis = redis
        self._life = life // timedelta(milliseconds=1)
        self._most = 2 * most_per_user + _SLACK
        self._feed_life = feed_life
        self._clock = clock

    async def begin(self, issuer: str, subject: str, session: str, started: int) -> UpstreamLogin:
        """Remember what is known of logouts when somebody has logged in at a provider.

        `started`: when that login was begun here, ms by Redis' clock.
        """
        digests = digests_of(issuer, subject, session)
        latest = [await self._latest(digest) for digest in digests]
        return UpstreamLogin(digests, [_OVER if at >= started else at for at in latest])

    async def note(self, login: UpstreamLogin, user_id: bytes, session_id: bytes) -> None:
        """Note a session that is about to be opened by this login."""
        for digest in login.digests:
            await _note(
                self._redis,
                provider_sessions=_sessions_key(digest),
                member=user_id + session_id,
                now=milliseconds(self._clock()),
                life=self._life,
                most=self._most,
            )

    async def has_ended(self, login: UpstreamLogin) -> bool:
        """Tell whether the provider has logged out meanwhile: then the session must not stay."""
        for digest, seen in zip(login.digests, login.seen, strict=True):
            if await self._latest(digest) not in (0, seen):
                return True
        return False

    async def end(
        self, issuer: str, subject: str, session: str, origin: RequestOrigin, *, by: str
    ) -> LoggedOut:
        """End the sessions of a provider's session or, without one, of a subject.

        Who is named by both: those of that session. If that fails, it may be done again, until they
        are forgotten (`forget`).
        """
        digest = digests_of(issuer, subject, session)[-1]
        members = await _note_logout(
            self._redis,
            provider_sessions=_sessions_key(digest),
            ended=_ended_key(digest),
            life=UPSTREAM_LOGOUT_LIFE // timedelta(milliseconds=1),
        )
        ended = 0
        for at in range(0, len(members), _AT_ONCE):
            some = members[at : at + _AT_ONCE]
            ended += sum(await asyncio.gather(*(self._end(each, origin, by) for each in some)))
        return LoggedOut(ended, digest, members)

    async def forget(self, logged_out: LoggedOut) -> None:
        """Forget the sessions that have ended."""
        if logged_out.members:
            key = _sessions_key(logged_out.digest)
            await self._redis.change("HDEL", key, *logged_out.members)

    async def use_token(self, issuer: str, token_id: str) -> bool:
        """Use the id of a logout token up, for a moment: `keep_used` once all is done.

        Of those who race for it, one does. After whoever is killed on the way, it is good again.
        """
        lease = UPSTREAM_LOGOUT_LEASE // timedelta(milliseconds=1)
        key = _token_key(issuer, token_id)
        return bool(await self._redis.change("SET", key, "", "NX", "PX", lease))

    async def keep_used(self, issuer: str, token_id: str, life: timedelta) -> None:
        """Let a token stay used for as long as it would be accepted."""
        ms = max(1, life // timedelta(milliseconds=1))
        await self._redis.change("SET", _token_key(issuer, token_id), "", "PX", ms)

    async def give_back(self, issuer: str, token_id: str) -> None:
        """Let the provider send a token again, as nothing came of it."""
        await self._redis.change("DEL", _token_key(issuer, token_id))

    async def _end(self, member: bytes, origin: RequestOrigin, by: str) -> bool:
        number: int = await scripts.end_one(
            self._redis,
            member[:USER_ID],
            origin,
            session_id=member[USER_ID:],
            reason="provider",
            by=by,
            feed_life=self._feed_life,
        )
        self._redis.fence.note(member, number, member[USER_ID:])
        return number > 0

    async def _latest(self, digest: bytes) -> int:
        return int(await self._redis.execute("GET", _ended_key(digest)) or 0)


def digests_of(issuer: str, subject: str, session: str) -> list[bytes]:
    """Digest what a provider knows somebody by; the more special one last."""
    named = [("sub", subject), ("sid", session)]
    return [_digest(issuer, kind, name) for kind, name in named if name]


def _digest(*parts: str) -> bytes:
    text = "\0".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:DIGEST]


def _sessions_key(digest: bytes) -> bytes:
    return bucket(digest).ticket + b"upstream:" + digest


def _ended_key(digest: bytes) -> bytes:
    return bucket(digest).ticket + b"ended:" + digest


def _token_key(issuer: str, token_id: str) -> bytes:
    digest = _digest(issuer, "jti", token_id)
    return bucket(digest).ticket + b"logout:" + digest
