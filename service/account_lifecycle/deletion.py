"""Deleting an account, with all that hangs on it but its events."""

from service.accounts.account_changes import AccountChanges
from service.redis.client import RedisClient
from service.sessions.cut_offs import CutOffs
from service.sessions.origin import RequestOrigin
from service.sessions.sessions import Sessions
from service.tickets.tickets import forget_tickets
from service.twofactor.pending import PendingEnrolments


class AccountDeletion:
    """Deletes accounts. May raise `StoreUnavailable`.

    The row goes first, announced as any change of it: from then on nobody logs in, and whoever is
    asked about a session of it asks the user store. Then the sessions end, for guards as well.
    Killed between, the sessions end as soon as anybody asks; the same call again ends them, too.
    """

    def __init__(
        self,
        redis: RedisClient,
        changes: AccountChanges,
        cut_offs: CutOffs,
        sessions: Sessions,
        pending: PendingEnrolments,
    ) -> None:
        self._redis = redis
        self._changes = changes
        self._cut_offs = cut_offs
        self._sessions = sessions
        self._pending = pending

    async def delete(
        self, user_id: bytes, origin: RequestOrigin, *, by: str, reason: str = ""
    ) -> bool:
        """Delete the account, its second factor, sessions, tickets and open logins.

        `by` and `reason` go into the event. Returns whether there was such an account.
        """
        await self._cut_offs.announce(user_id, origin)
        existed = await self._changes.delete(user_id)
        if existed or await self._sessions.count(user_id):
            await self._cut_offs.end_all(
                user_id, origin, event="user.deleted", reason=reason, by=by, deleted=True
            )
        await self._pending.forget(user_id)
        await forget_tickets(self._redis, user_id)
        return existed
