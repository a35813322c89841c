"""Whether a session has proved a short while ago who its person is (RFC 9470)."""

from datetime import timedelta
from typing import Any

from service.authentication.identity import Identity
from service.clock import milliseconds
from service.errors import AuthenticationNotRecent, InvalidAccessToken
from service.redis.client import RedisClient
from service.redis.keys import CLOCK_SKEW, bucket
from service.redis.scripts import Key, script
from service.sessions.record import Authentication

_SECOND_FACTOR = Authentication.TOTP | Authentication.RECOVERY_CODE


@script(
    text="""
-- Outcome: ms since 1970, or nil when the session has ended
if not redis.call('HGET', index, session_id) then return nil end
local time = redis.call('TIME')
return time[1] * 1000 + math.floor(time[2] / 1000)
""",
    acknowledged=False,
)
def _now(*, index: Key, session_id: bytes) -> Any:
    """Tell the time by the clock that has stamped the session's last proof."""


class RecentAuthentication:
    """Demands a proof of identity that is at most `life` old, of all factors of the account."""

    def __init__(self, redis: RedisClient, life: timedelta) -> None:
        self._redis = redis
        self._life = life

    async def demand(self, identity: Identity) -> None:
        """Refuse a caller whose session has proved too little, or too long ago.

        `identity` must be as stored: whether there is a second factor decides.

        Raises:
            AuthenticationNotRecent
            InvalidAccessToken: the session has ended meanwhile.
            StoreUnavailable
        """
        user, session = identity.user, identity.session
        index = bucket(user.id).index + user.id
        now: int | None = await _now(self._redis, index=index, session_id=session.id)
        if now is None:
            raise InvalidAccessToken
        age = timedelta(milliseconds=now - milliseconds(session.authenticated_at))
        enough = not user.two_fa_enabled or bool(session.authentication & _SECOND_FACTOR)
        # Redis' clock may have been put back: a proof of tomorrow is none of a moment ago.
        if not (enough and -CLOCK_SKEW <= age <= self._life):
            raise AuthenticationNotRecent(int(self._life.total_seconds()))
