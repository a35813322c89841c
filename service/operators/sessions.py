"""What operators do with sessions: list them, end one, all of an account, or everybody's."""

from service.accounts.user_rows import User
from service.operators import scripts
from service.operators.request import OperatorRequest
from service.redis.client import RedisClient
from service.redis.keys import bucket
from service.sessions.cut_offs import CutOffs
from service.sessions.record import Session, read
from service.sessions.row_version import FIELD, is_changing
from service.sessions.scripts import end_one


class SessionAdministration:
    """Lists and ends sessions of others. All may raise `StoreUnavailable`."""

    def __init__(self, redis: RedisClient, cut_offs: CutOffs, feed_life: int) -> None:
        """Take the stores. `feed_life`: how long the feed keeps the end of a session, in ms."""
        self._redis = redis
        self._cut_offs = cut_offs
        self._feed_life = feed_life

    async def of(self, user: User) -> list[Session]:
        """List the living sessions of an account, newest first."""
        if user.disabled_at is not None:
            return []
        found = await self.of_id(user.id)
        counting = [each for each in found if each.row_version >= user.sessions_from]
        return sorted(counting, key=lambda session: (session.opened_at, session.id), reverse=True)

    async def of_id(self, user_id: bytes) -> list[Session]:
        """List the sessions that Redis has of a user, whatever the user store says of them."""
        names = bucket(user_id)
        rows = await scripts.list_sessions(self._redis, index=names.index + user_id, tag=names.tag)
        return [read(user_id, *row) for row in rows]

    async def end(self, user_id: bytes, session_id: bytes, request: OperatorRequest) -> bool:
        """End one session of an account. Tell whether it lived."""
        number: int = await end_one(
            self._redis,
            user_id,
            request.origin,
            session_id=session_id,
            reason=request.reason,
            by=request.by,
            feed_life=self._feed_life,
        )
        self._redis.fence.note(user_id, number, session_id)
        return number > 0

    async def end_all(self, user_id: bytes, request: OperatorRequest) -> int:
        """End all sessions of an account, with one event if there are any. Return how many."""
        return await self._cut_offs.end_all(
            user_id, request.origin, reason=request.reason, by=request.by
        )

    async def end_everybody(self, request: OperatorRequest) -> None:
        """End the sessions of everybody, with one event for each bucket."""
        await self._cut_offs.everybody(request.origin, reason=request.reason, by=request.by)

    async def are_left(self, user_id: bytes) -> bool:
        """Tell whether an account has sessions, or a change of it is announced and not published.

        Either is so where a change that ends sessions was cut short.
        """
        return await self.is_changing(user_id) or bool(await self.of_id(user_id))

    async def is_changing(self, user_id: bytes) -> bool:
        """Tell whether a change of an account's row is announced and not published."""
        noted = await self._redis.execute("HGET", bucket(user_id).index + user_id, FIELD)
        return noted is not None and is_changing(noted)
