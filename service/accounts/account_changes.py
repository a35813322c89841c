"""Changes of an account that end its sessions, or let them begin again: each is one transaction.

Each raises the row's `version`. What ends sessions raises `sessions_from` to that new version in
the same statement: no session that was opened by an older row counts from then on, whoever finds it
(`sessions/row_version.py` tells how pods hear of it).

All may raise `StoreUnavailable`.
"""

from datetime import datetime

import msgspec
from sqlalchemy import (
    Boolean,
    Delete,
    Update,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts.passwords import PasswordHash
from service.accounts.user_rows import User
from service.accounts.versions import step
from service.clock import milliseconds
from service.database.engine import store_errors
from service.database.tables import former_addresses, identities, recovery_codes, users

_NEXT = users.c.version + bindparam("step")

_SET_PASSWORD = (
    update(users)
    .where(
        users.c.id == bindparam("user_id"),
        users.c.password_scheme == bindparam("old_scheme"),
        users.c.password_hash == bindparam("old_hash"),
    )
    .values(
        password_scheme=bindparam("new_scheme"),
        password_hash=bindparam("new_hash"),
        password_changed_at=bindparam("now"),
        email_verified_at=case(
            (
                bindparam("verified", type_=Boolean),
                func.coalesce(users.c.email_verified_at, bindparam("now")),
            ),
            else_=users.c.email_verified_at,
        ),
        # A link of that sign-up, taken a moment ago, must not bring its password back.
        awaits_verification=case(
            (bindparam("verified", type_=Boolean), false()), else_=users.c.awaits_verification
        ),
        version=_NEXT,
        sessions_from=_NEXT,
    )
)
_SET_PASSWORD_AS_READ = _SET_PASSWORD.where(
    users.c.email == bindparam("address"), users.c.sessions_from == bindparam("sessions_from")
)
_DISABLE = (
    update(users)
    .where(users.c.id == bindparam("user_id"), users.c.disabled_at.is_(None))
    .values(disabled_at=bindparam("now"), version=_NEXT, sessions_from=_NEXT)
)
_ENABLE = (
    update(users)
    .where(users.c.id == bindparam("user_id"), users.c.disabled_at.is_not(None))
    .values(disabled_at=None, version=_NEXT)
)
_TURN_OFF_SECOND_FACTOR = (
    update(users)
    .where(users.c.id == bindparam("user_id"), users.c.two_fa_enabled)
    .values(
        two_fa_enabled=False,
        enrolment_id=None,
        totp_sealed=None,
        totp_epoch=None,
        version=_NEXT,
        sessions_from=_NEXT,
    )
)
_VERSION = select(users.c.version).where(users.c.id == bindparam("user_id"))
# A row is locked before what hangs on it is deleted, so that nobody adds to it meanwhile.
_LOCK = update(users).where(users.c.id == bindparam("user_id")).values(version=_NEXT)
_FORGET_CODES = delete(recovery_codes).where(recovery_codes.c.user_id == bindparam("user_id"))
_FORGET_IDENTITIES_OF_BEFORE = delete(identities).where(
    identities.c.user_id == bindparam("user_id"),
    exists().where(
        users.c.id == bindparam("user_id"), users.c.email_verified_at == bindparam("now")
    ),
)
"""Where this very change verifies the address: who made the account need not be who has it,
and may have left a way in."""
_FORGET_ADDRESSES = delete(former_addresses).where(
    former_addresses.c.user_id == bindparam("user_id")
)
_DELETE = delete(users).where(users.c.id == bindparam("user_id"))


class RowChange(msgspec.Struct, frozen=True):
    """The version of the row after a change, and whether it was `made`, or had been before."""

    version: int
    made: bool


class AccountChanges:
    """Changes accounts in the database behind `engine`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def set_password(
        self,
        user_id: bytes,
        old: PasswordHash,
        new: PasswordHash,
        now: datetime,
        *,
        verified: bool = False,
        read: User | None = None,
    ) -> int | None:
        """Store `new`, and let no session count that was opened before.

        `verified`: whoever sets it has read a mail to the account's address; where that is the
        first time, identities at providers go. `read`: the row by which it was decided that this
        may be. Returns the row's version, or `None`, and nothing is changed: `old` is not what is
        stored, or the account has another address than was `read`, or its sessions have ended.
        """
        change: dict[str, object] = {
            "user_id": user_id,
            "old_scheme": old.scheme,
            "old_hash": old.value,
            "new_scheme": new.scheme,
            "new_hash": new.value,
            "now": milliseconds(now),
            "verified": verified,
            "step": step(),
        }
        statement = _SET_PASSWORD
        if read is not None:
            statement = _SET_PASSWORD_AS_READ
            change |= {"address": read.email, "sessions_from": read.sessions_from}
        with store_errors():
            async with self._engine.begin() as connection:
                if (await connection.execute(statement, change)).rowcount == 0:
                    return None
                if verified:
                    await connection.execute(_FORGET_IDENTITIES_OF_BEFORE, change)
                return int((await connection.execute(_VERSION, {"user_id": user_id})).scalar_one())

    async def disable(self, user_id: bytes, now: datetime) -> RowChange | None:
        """Let nobody log in or go on with a session. `None`: there is no such user."""
        return await self._change(_DISABLE, {"user_id": user_id, "now": milliseconds(now)})

    async def enable(self, user_id: bytes) -> RowChange | None:
        """Let the person log in again; sessions of before stay ended. `None`: no such user."""
        return await self._change(_ENABLE, {"user_id": user_id})

    async def turn_off_second_factor(self, user_id: bytes) -> RowChange | None:
        """Take the second factor away, and end the sessions. `None`: there is no such user.

        The recovery codes go with it.
        """
        return await self._change(_TURN_OFF_SECOND_FACTOR, {"user_id": user_id}, _FORGET_CODES)

    async def delete(self, user_id: bytes) -> bool:
        """Delete the account with its second factor. Tell whether there was one."""
        with store_errors():
            async with self._engine.begin() as connection:
                await connection.execute(_LOCK, {"user_id": user_id, "step": step()})
                await connection.execute(_FORGET_CODES, {"user_id": user_id})
                await connection.execute(_FORGET_ADDRESSES, {"user_id": user_id})
                return (await connection.execute(_DELETE, {"user_id": user_id})).rowcount == 1

    async def _change(
        self, statement: Update, values: dict[str, object], *further: Delete
    ) -> RowChange | None:
        """Make a change of one row and, if there was something to change, what belongs to it."""
        user_id = {"user_id": values["user_id"]}
        with store_errors():
            async with self._engine.begin() as connection:
                result = await connection.execute(statement, values | {"step": step()})
                if result.rowcount:
                    for each in further:
                        await connection.execute(each, user_id)
                version = (await connection.execute(_VERSION, user_id)).scalar()
        return None if version is None else RowChange(int(version), result.rowcount == 1)
