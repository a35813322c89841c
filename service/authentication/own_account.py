"""What people may do with their account as a whole, after a recent proof of who they are."""

from contextlib import suppress

from service.account_lifecycle.deletion import AccountDeletion
from service.account_lifecycle.export import AccountExports, Export
from service.authentication.identity import Identities
from service.authentication.recent import RecentAuthentication
from service.errors import InvalidAccessToken, StoreUnavailable
from service.mail.notices import NO_NOTICES, Notices
from service.rate_limits import RateLimits
from service.sessions.access_tokens import Caller
from service.sessions.origin import RequestOrigin
from service.sessions.sessions import Sessions


class OwnAccount:
    """Deletes and exports the caller's own account. Both may raise `StoreUnavailable`, and:

    InvalidAccessToken: the caller's session has ended.
    AuthenticationNotRecent: its last proof is too old, or lacks the second factor.
    """

    def __init__(
        self,
        identities: Identities,
        recent: RecentAuthentication,
        sessions: Sessions,
        rate_limits: RateLimits,
        deletion: AccountDeletion,
        exports: AccountExports,
        notices: Notices = NO_NOTICES,
    ) -> None:
        self._identities = identities
        self._recent = recent
        self._sessions = sessions
        self._rate_limits = rate_limits
        self._deletion = deletion
        self._exports = exports
        self._notices = notices

    async def delete(self, caller: Caller, origin: RequestOrigin) -> None:
        """Delete the caller's account. All its sessions have ended."""
        identity = await self._identities.of(caller, as_stored=True)
        await self._recent.demand(identity)
        await self._deletion.delete(caller.user_id, origin, by=caller.session_id.hex())
        self._notices.tell("account_deleted", identity.user, origin)

    async def export(self, caller: Caller, origin: RequestOrigin) -> Export:
        """Collect all that is kept of the caller's account, once an hour.

        Raises:
            TooManyAttempts
        """
        await self._recent.demand(await self._identities.of(caller, as_stored=True))
        counters = [self._rate_limits.of_user(self._rate_limits.limits.exports, caller.user_id)]
        ticket = await self._rate_limits.count(caller.user_id, counters)
        try:
            sessions = await self._sessions.all_of(caller, origin)
            export = await self._exports.export(
                caller.user_id, sessions, origin, by=caller.session_id.hex()
            )
        except Exception:  # raised again; whatever it is, an export that nobody got is not counted
            with suppress(StoreUnavailable):
                await self._rate_limits.take_back(caller.user_id, counters, ticket)
            raise
        if export is None:  # deleted a moment ago
            raise InvalidAccessToken
        return export
