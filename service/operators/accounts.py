"""What operators change of accounts. Each change is an event with `by` and `reason`.

Repeated, a change succeeds and writes no second event; one that was cut short is finished. The
order of each is that of all changes of a user row (`sessions/row_version.py`): while Redis is away,
nothing is changed.
"""

from service.account_lifecycle.deletion import AccountDeletion
from service.accounts.account_changes import AccountChanges, RowChange
from service.accounts.user_rows import User
from service.accounts.users import Users
from service.authentication.account_limits import AccountLimits
from service.clock import Clock
from service.errors import UserNotFound
from service.mail.notices import NO_NOTICES, Notices
from service.operators import scripts
from service.operators.request import OperatorRequest
from service.operators.sessions import SessionAdministration
from service.redis.client import RedisClient
from service.sessions.cut_offs import CutOffs
from service.twofactor.pending import PendingEnrolments


class AccountAdministration:
    """Changes accounts, each as it was read a moment ago. All may raise `StoreUnavailable`, and
    `UserNotFound` where the account has been deleted meanwhile."""

    def __init__(
        self,
        redis: RedisClient,
        users: Users,
        changes: AccountChanges,
        sessions: SessionAdministration,
        cut_offs: CutOffs,
        deletion: AccountDeletion,
        pending: PendingEnrolments,
        clock: Clock,
        notices: Notices = NO_NOTICES,
    ) -> None:
        self._redis = redis
        self._users = users
        self._changes = changes
        self._sessions = sessions
        self._cut_offs = cut_offs
        self._deletion = deletion
        self._pending = pending
        self._clock = clock
        self._notices = notices

    async def disable(self, user: User, request: OperatorRequest) -> bool:
        """End all sessions, and let nobody log in or refresh. Tell whether that was to be done."""
        if user.disabled_at is not None and not await self._sessions.are_left(user.id):
            await self._note(user, "user.disabled", request, made=False)
            return False
        await self._cut_offs.announce(user.id, request.origin)
        change = _of_account(await self._changes.disable(user.id, self._clock()))
        await self._end_sessions(user, change, "user.disabled", request)
        return True

    async def enable(self, user: User, request: OperatorRequest) -> bool:
        """Let the person log in again. Tell whether they could not."""
        await self._cut_offs.announce(user.id, request.origin)
        change = _of_account(await self._changes.enable(user.id))
        await self._note(user, "user.enabled", request, change.version, made=change.made)
        return change.made

    async def reset_second_factor(self, user: User, request: OperatorRequest) -> bool:
        """Take the second factor away with its recovery codes, and end all sessions.

        A pending enrolment goes, too. Tells whether that was to be done.
        """
        cut_short = user.sessions_from == user.version and await self._sessions.is_changing(user.id)
        if not user.two_fa_enabled and not cut_short:
            await self._pending.forget(user.id)
            await self._note(user, "twoFA.disabled", request, made=False)
            return False
        await self._cut_offs.announce(user.id, request.origin)
        change = _of_account(await self._changes.turn_off_second_factor(user.id))
        await self._end_sessions(user, change, "twoFA.disabled", request)
        await self._pending.forget(user.id)
        if change.made:
            self._notices.tell("second_factor_off", user, request.origin)
        return True

    async def unlock(self, user: User, limits: AccountLimits, request: OperatorRequest) -> bool:
        """Forgive the limits on passwords and codes. Tell whether one of them was reached."""
        reached = bool(await limits.in_force(user))
        await limits.forgive(user)
        await self._note(user, "user.unlocked", request, made=reached)
        return reached

    async def delete(self, user_id: bytes, request: OperatorRequest) -> None:
        """Delete the account as its person can. One that was deleted half-way is deleted for good.

        Raises:
            UserNotFound: there is no such account, and no session of it is left.
        """
        there = await self._users.credentials(user_id)
        if there is None and not await self._sessions.are_left(user_id):
            raise UserNotFound
        await self._deletion.delete(user_id, request.origin, by=request.by, reason=request.reason)
        if there is not None:
            self._notices.tell("account_deleted", there.user, request.origin)

    async def _end_sessions(
        self, user: User, change: RowChange, event: str, request: OperatorRequest
    ) -> None:
        """End the sessions and publish the row. Told once: if it was made now, or cut short."""
        if not change.made and not await self._sessions.of_id(user.id):
            await self._note(user, event, request, change.version, made=False)
            return
        await self._cut_offs.end_all(
            user.id,
            request.origin,
            event=event,
            reason=request.reason,
            by=request.by,
            row_version=change.version,
        )

    async def _note(
        self,
        user: User,
        event: str,
        request: OperatorRequest,
        row_version: int | None = None,
        *,
        made: bool,
    ) -> None:
        """Write the event of a change that was `made`, and publish the row, if it has changed.

        Of what was so already nothing is written, but replicas are waited for: nobody is told of an
        end that they do not have.
        """
        await scripts.note(
            self._redis,
            user.id,
            request.origin,
            event=event,
            reason=request.reason,
            by=request.by,
            row_version="" if row_version is None else row_version,
            made=int(made),
        )


def _of_account(change: RowChange | None) -> RowChange:
    if change is None:
        raise UserNotFound
    return change
