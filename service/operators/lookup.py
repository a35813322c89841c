"""Finding an account as operators name it, and all that they want to know of it."""

import re
from collections.abc import Sequence

import msgspec

from service.accounts import emails
from service.accounts.user_pages import UserPages
from service.accounts.user_rows import User
from service.accounts.users import Users
from service.authentication.account_limits import AccountLimits, LimitInForce
from service.errors import UserNotFound
from service.operators.sessions import SessionAdministration
from service.sessions.record import Session

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII | re.IGNORECASE)


class AccountDetails(msgspec.Struct, frozen=True):
    """An account, its living sessions, and the limits that it has reached.

    `limits` are `None` where the keys by which they are counted do not open.
    """

    user: User
    sessions: Sequence[Session]
    limits: Sequence[LimitInForce] | None


class AccountLookup:
    """Finds accounts. Any method may raise `StoreUnavailable`."""

    def __init__(self, users: Users, pages: UserPages, sessions: SessionAdministration) -> None:
        self._users = users
        self._pages = pages
        self._sessions = sessions

    async def find(self, named: str) -> User:
        """Find an account by its id, 32 hex digits, or by its address.

        Raises:
            UserNotFound
        """
        user_id = user_id_of(named)
        if user_id is not None:
            found = await self._users.credentials(user_id)
        else:
            found = await self._users.find_by_email(emails.lookup_key(named))
        if found is None:
            raise UserNotFound
        return found.user

    async def with_address(self, address: str) -> list[User]:
        """Find the account with this address, if there is one."""
        found = await self._users.find_by_email(emails.lookup_key(address))
        return [] if found is None else [found.user]

    async def page(self, after: bytes | None, limit: int) -> tuple[Sequence[User], bool]:
        """List accounts by id, behind `after`, and tell whether there are more."""
        return await self._pages.page(after or b"", limit)

    async def details(self, user: User, limits: AccountLimits | None) -> AccountDetails:
        """Read sessions and limits of an account. `limits`: where the keys are open."""
        sessions = await self._sessions.of(user)
        reached = None
        if limits is not None:
            reached = await limits.in_force(user)
        return AccountDetails(user, sessions, reached)


def user_id_of(named: str) -> bytes | None:
    """Read a user id; `None` for what is none, such as an address."""
    return bytes.fromhex(named) if _ID.fullmatch(named) else None
