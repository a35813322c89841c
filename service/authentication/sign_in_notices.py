"""Tells people of sign-ins from elsewhere: of whom neither network nor user agent is known.

Known is what a living session of the account has. Who has none is told nothing.
"""

import ipaddress
from collections.abc import Sequence
from typing import Any

import structlog

from service.accounts.user_rows import User
from service.errors import ServiceError
from service.mail.notices import Notices
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.redis.scripts import Key, script
from service.sessions.origin import USER_AGENT_KEPT, RequestOrigin, network
from service.sessions.record import Session, read
from service.sessions.user_scripts import CONSTANTS

log = structlog.get_logger()


@script(
    "sessions/everybody.lua",
    "sessions/others.lua",
    "operators/list.lua",
    constants=CONSTANTS,
    acknowledged=False,
)
def _list(*, index: Key, tag: bytes) -> Any:
    """List the sessions of a user."""


class SignInNotices:
    """Compares a sign-in with the sessions that lived before it."""

    def __init__(self, redis: RedisClient, notices: Notices) -> None:
        self._redis = redis
        self._notices = notices

    async def living(self, user_id: bytes) -> Sequence[Session]:
        """Read the sessions of a user, before another is opened; none where nothing is told."""
        if not self._notices.are_on:
            return ()
        keys = bucket(user_id)
        try:
            rows = await _list(self._redis, index=keys.index + user_id, tag=keys.tag)
            return [read(user_id, *row) for row in rows]
        except ServiceError as error:  # it keeps nobody from signing in
            log.warning("notice not told", kind="sign_in", reason=str(error))
            return ()

    def tell(self, user: User, before: Sequence[Session], origin: RequestOrigin) -> None:
        """Tell of a sign-in, if it is from elsewhere than all sessions `before` it."""
        if before and not any(_is_like(session, origin) for session in before):
            self._notices.tell("sign_in", user, origin)


def _is_like(session: Session, origin: RequestOrigin) -> bool:
    address = ipaddress.ip_address(session.ip_address) if session.ip_address else None
    user_agent = origin.user_agent[:USER_AGENT_KEPT]
    return (session.user_agent or "") == user_agent or network(address) == network(origin.address)
