"""Changes of an account's address, each one transaction that raises the row's `version`.

An address that was changed is kept for its account for as long as that can be undone: nobody else
gets it meanwhile (`Users.add` looks, too), or who has stolen an account could keep it.

All may raise `StoreUnavailable`.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

from sqlalchemy import bindparam, delete, false, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.accounts.emails import EmailAddress
from service.accounts.passwords import PasswordHash
from service.accounts.versions import step
from service.clock import milliseconds
from service.database.engine import store_errors
from service.database.tables import former_addresses, identities, users
from service.errors import EmailTaken

_NEXT = users.c.version + bindparam("step")
_OF_USER = users.c.id == bindparam("user_id")

_VERIFY = (
    update(users)
    .where(_OF_USER, users.c.email == bindparam("address"))
    .values(
        email_verified_at=func.coalesce(users.c.email_verified_at, bindparam("now")),
        awaits_verification=false(),
        version=_NEXT,
    )
)
_VERIFY_WITH_PASSWORD = _VERIFY.where(users.c.awaits_verification).values(
    password_scheme=bindparam("scheme"), password_hash=bindparam("hash")
)
_REPLACE_PENDING = (
    update(users)
    .where(_OF_USER, users.c.awaits_verification, users.c.email_verified_at.is_(None))
    .values(password_scheme=bindparam("scheme"), password_hash=bindparam("hash"))
)
_TOUCH = update(users).where(_OF_USER).values(password_scheme=users.c.password_scheme)
_CHANGE = (
    update(users)
    .where(
        _OF_USER,
        users.c.email_key == bindparam("old_key"),
        users.c.sessions_from <= bindparam("asked_at"),
    )
    .values(
        email=bindparam("address"),
        email_key=bindparam("key"),
        email_verified_at=bindparam("now"),
        awaits_verification=false(),
        version=_NEXT,
    )
)
_UNDO = (
    update(users)
    .where(_OF_USER)
    .values(
        email=bindparam("address"),
        email_key=bindparam("key"),
        email_verified_at=bindparam("now"),
        awaits_verification=false(),
        password_hash="",
        version=_NEXT,
        sessions_from=_NEXT,
    )
)
_VERSION = select(users.c.version).where(_OF_USER)
_FORGET_IDENTITIES = delete(identities).where(identities.c.user_id == bindparam("user_id"))
_FORGET_FORMER = delete(former_addresses).where(
    or_(
        former_addresses.c.kept_until <= bindparam("now"),
        former_addresses.c.email_key == bindparam("key"),
    )
)
_KEEP_FORMER = insert(former_addresses)
_OF_ANOTHER = select(former_addresses.c.user_id).where(
    former_addresses.c.email_key == bindparam("key"),
    former_addresses.c.user_id != bindparam("user_id"),
    former_addresses.c.kept_until > bindparam("now"),
)


async def refuse_former(
    connection: AsyncConnection, key: str, user_id: bytes, now: datetime
) -> None:
    """Refuse an address that another account had a short while ago.

    It is asked in the transaction that takes the address: one that gives it up at the same time has
    then ended, as addresses are unique.

    Raises:
        EmailTaken
    """
    values = {"key": key, "user_id": user_id, "now": milliseconds(now)}
    if (await connection.execute(_OF_ANOTHER, values)).first():
        raise EmailTaken


class EmailChanges:
    """Changes addresses in the database behind `engine`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def verify(
        self, user_id: bytes, address: str, now: datetime, password: PasswordHash | None = None
    ) -> int | None:
        """Note that the account's address is verified, if it still is this one.

        `password`: of the sign-up that waited for this. Returns the row's version, or `None`.
        """
        statement = _VERIFY if password is None else _VERIFY_WITH_PASSWORD
        values = {"user_id": user_id, "address": address, "now": milliseconds(now), "step": step()}
        if password is not None:
            values |= {"scheme": password.scheme, "hash": password.value}
        with store_errors():
            async with self._engine.begin() as connection:
                if (await connection.execute(statement, values)).rowcount == 0:
                    return None
                return await _version(connection, user_id)

    async def replace_pending(self, user_id: bytes, password: PasswordHash) -> None:
        """Give a sign-up that waits for its address another password."""
        values = {"user_id": user_id, "scheme": password.scheme, "hash": password.value}
        with store_errors():
            async with self._engine.begin() as connection:
                await connection.execute(_REPLACE_PENDING, values)

    async def touch(self, user_id: bytes) -> None:
        """Write a row as it is: so that a sign-up for an address that is taken takes as long."""
        with store_errors():
            async with self._engine.begin() as connection:
                await connection.execute(_TOUCH, {"user_id": user_id})

    async def change(
        self,
        user_id: bytes,
        old_key: str,
        asked_at: int,
        new: EmailAddress,
        now: datetime,
        kept_until: datetime,
        before_commit: Callable[[], Awaitable[None]] | None = None,
    ) -> int | None:
        """Give the account another address, and keep the one before until then.

        `asked_at`: the version of the row by which the change was asked for. `before_commit` is
        called once nothing stands against the change any more. Where it raises, nothing is changed.

        Returns the row's version; `None`: its address is not `old_key` any more, or sessions of
        `asked_at` have ended.

        Raises:
            EmailTaken: another account has it, or had it a short while ago.
        """
        values = {
            "user_id": user_id,
            "old_key": old_key,
            "asked_at": asked_at,
            "address": new.as_given,
            "key": new.key,
            "now": milliseconds(now),
            "step": step(),
        }
        former = {"email_key": old_key, "user_id": user_id, "kept_until": milliseconds(kept_until)}
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    if (await connection.execute(_CHANGE, values)).rowcount == 0:
                        return None
                    await refuse_former(connection, new.key, user_id, now)
                    if old_key != new.key:
                        forget = {"key": old_key, "now": milliseconds(now)}
                        await connection.execute(_FORGET_FORMER, forget)
                        await connection.execute(_KEEP_FORMER, former)
                    version = await _version(connection, user_id)
                    if before_commit is not None:
                        await before_commit()
                    return version
        except IntegrityError:
            raise EmailTaken from None

    async def undo(
        self,
        user_id: bytes,
        old: EmailAddress,
        now: datetime,
        before_commit: Callable[[], Awaitable[None]],
    ) -> int | None:
        """Give the account the address of before, take its password, and end its sessions.

        Identities at providers go with the password. `before_commit` is called while no other
        change of the account can come between.

        Returns the row's version; `None`: there is no such account.

        Raises:
            EmailTaken: another account has the address, from before it was kept.
        """
        values = {
            "user_id": user_id,
            "address": old.as_given,
            "key": old.key,
            "now": milliseconds(now),
            "step": step(),
        }
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    if (await connection.execute(_UNDO, values)).rowcount == 0:
                        return None
                    # Whoever has changed the address may have linked one of theirs.
                    await connection.execute(_FORGET_IDENTITIES, {"user_id": user_id})
                    forget = {"key": old.key, "now": milliseconds(now)}
                    await connection.execute(_FORGET_FORMER, forget)
                    version = await _version(connection, user_id)
                    await before_commit()
                    return version
        except IntegrityError:
            raise EmailTaken from None


async def _version(connection: AsyncConnection, user_id: bytes) -> int:
    return int((await connection.execute(_VERSION, {"user_id": user_id})).scalar_one())
