"""The identities of people at OpenID providers, and what an account becomes by one of them.

An identity is an issuer and a subject. It belongs to one account. What changes an account here is
one transaction, which does nothing where the row is not at the version that was read: whoever
decides by a row decides again when it has changed.

All may raise `StoreUnavailable`.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import Update, bindparam, delete, exists, false, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.accounts.email_changes import refuse_former
from service.accounts.emails import EmailAddress
from service.accounts.passwords import PasswordHash
from service.accounts.user_rows import ADD, User, new_row
from service.accounts.versions import step
from service.clock import milliseconds, moment
from service.database.engine import store_errors
from service.database.tables import identities, recovery_codes, users

NO_PASSWORD = PasswordHash(0, "")

_NEXT = users.c.version + bindparam("step")
_AS_READ = (users.c.id == bindparam("user"), users.c.version == bindparam("read"))
_FIND = select(identities.c.user_id).where(
    identities.c.issuer == bindparam("issuer"), identities.c.subject == bindparam("subject")
)
_LIST = (
    select(
        identities.c.provider, identities.c.issuer, identities.c.subject, identities.c.created_at
    )
    .where(identities.c.user_id == bindparam("user"))
    .order_by(identities.c.created_at, identities.c.issuer, identities.c.subject)
)
_ADD = insert(identities)
_TOUCH = update(users).where(*_AS_READ, users.c.disabled_at.is_(None)).values(version=_NEXT)
_JOIN = _TOUCH.where(users.c.email_verified_at.is_not(None))
_TAKE_OVER = (
    update(users)
    .where(*_AS_READ, users.c.disabled_at.is_(None), users.c.email_verified_at.is_(None))
    .values(
        version=_NEXT,
        sessions_from=_NEXT,
        password_scheme=NO_PASSWORD.scheme,
        password_hash=NO_PASSWORD.value,
        password_changed_at=bindparam("now"),
        email_verified_at=bindparam("now"),
        awaits_verification=false(),
        two_fa_enabled=False,
        enrolment_id=None,
        totp_sealed=None,
        totp_epoch=None,
    )
)
FORGET_ALL = delete(identities).where(identities.c.user_id == bindparam("user"))
_FORGET_CODES = delete(recovery_codes).where(recovery_codes.c.user_id == bindparam("user"))
_OF_PROVIDER = (
    identities.c.user_id == bindparam("user"),
    or_(
        identities.c.provider == bindparam("of_provider"),
        identities.c.issuer == bindparam("issuer"),
    ),
)
_FORGET = delete(identities).where(*_OF_PROVIDER)
_HAS_ANY = select(exists().where(identities.c.user_id == bindparam("user")))
_HAS_OF_PROVIDER = select(exists().where(*_OF_PROVIDER))
_PASSWORD = select(users.c.password_hash, users.c.version).where(users.c.id == bindparam("user"))
_VERSION = select(users.c.version).where(users.c.id == bindparam("user"))


class ProviderIdentity(msgspec.Struct, frozen=True):
    """Whom a provider means by a subject, and the provider's id in the settings."""

    provider: str
    issuer: str
    subject: str


class LinkedIdentity(msgspec.Struct, frozen=True):
    """An identity of an account, and since when it is one."""

    provider: str
    issuer: str
    subject: str
    linked_at: datetime


class ProviderIdentities:
    """Reads and writes identities in the database behind `engine`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def user_of(self, identity: ProviderIdentity) -> bytes | None:
        """Find whose identity this is."""
        names = {"issuer": identity.issuer, "subject": identity.subject}
        with store_errors():
            async with self._engine.connect() as connection:
                found: bytes | None = (await connection.execute(_FIND, names)).scalar()
        return found

    async def of_user(self, user_id: bytes) -> Sequence[LinkedIdentity]:
        """List the identities of an account, oldest first."""
        with store_errors():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(_LIST, {"user": user_id})).all()
        return [
            LinkedIdentity(row.provider, row.issuer, row.subject, moment(row.created_at))
            for row in rows
        ]

    async def add_account(
        self, email: EmailAddress, identity: ProviderIdentity, *, verified: bool, now: datetime
    ) -> User | None:
        """Create an account without a password, and its first identity.

        `None`: the address or the identity has an account by now.

        Raises:
            EmailTaken: another account had the address a short while ago.
        """
        created_at = milliseconds(now)
        verified_at = created_at if verified else None
        user = User(
            secrets.token_bytes(16),
            email.as_given,
            moment(created_at),
            email_verified_at=moment(created_at) if verified else None,
        )
        row = new_row(user.id, email, NO_PASSWORD, created_at) | {"email_verified_at": verified_at}
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    await connection.execute(ADD, row)
                    await refuse_former(connection, email.key, user.id, now)
                    await connection.execute(_ADD, _row(user.id, identity, created_at))
        except IntegrityError:
            return None
        return user

    async def join(
        self,
        user: User,
        identity: ProviderIdentity,
        now: datetime,
        *,
        kind: Literal["join", "link"],
    ) -> int | None:
        """Add an identity to an account as it was read, and return the row's version.

        `join`: only where the account's address is verified. `link`: only where it has no other of
        the provider. `None`, and nothing is changed: the row, or the identity, has changed.
        """
        statement = _JOIN if kind == "join" else _TOUCH
        return await self._change(statement, user, identity, now, forget=False, link=kind == "link")

    async def take_over(self, user: User, identity: ProviderIdentity, now: datetime) -> int | None:
        """Give an account whose address nobody has verified to whoever has verified it.

        Password, second factor and all other identities go; sessions of before count no more.
        Returns the row's version; `None`, and nothing is changed: the row, or the identity, has.
        """
        return await self._change(_TAKE_OVER, user, identity, now, forget=True, link=False)

    async def _change(
        self,
        statement: Update,
        user: User,
        identity: ProviderIdentity,
        now: datetime,
        *,
        forget: bool,
        link: bool,
    ) -> int | None:
        at = milliseconds(now)
        values: dict[str, Any] = {"user": user.id, "read": user.version, "step": step()}
        if forget:
            values["now"] = at
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    if (await connection.execute(statement, values)).rowcount == 0:
                        return None
                    if forget:
                        await connection.execute(_FORGET_CODES, {"user": user.id})
                        await connection.execute(FORGET_ALL, {"user": user.id})
                    if link and await _has_of(connection, user.id, identity):
                        await connection.rollback()
                        return None
                    await connection.execute(_ADD, _row(user.id, identity, at))
                    return await _version(connection, user.id)
        except IntegrityError:  # the identity has an account by now
            return None

    async def has_of(self, user_id: bytes, provider: str, issuer: str) -> bool:
        """Tell whether an account has an identity of this provider."""
        with store_errors():
            async with self._engine.connect() as connection:
                return await _has_of(connection, user_id, ProviderIdentity(provider, issuer, ""))

    async def unlink(
        self, user: User, provider: str, issuer: str
    ) -> int | Literal["not linked", "last", "changed"]:
        """Take the identities of a provider away from an account as it was read.

        Returns the row's version, or why nothing was changed: there is none; nobody could log in
        without; the row has changed.
        """
        values = {"user": user.id, "of_provider": provider, "issuer": issuer}
        with store_errors():
            async with self._engine.begin() as connection:
                touch = {"user": user.id, "read": user.version, "step": step()}
                if (await connection.execute(_TOUCH, touch)).rowcount == 0:
                    return "changed"
                if (await connection.execute(_FORGET, values)).rowcount == 0:
                    await connection.rollback()
                    return "not linked"
                row = (await connection.execute(_PASSWORD, {"user": user.id})).one()
                others = (await connection.execute(_HAS_ANY, {"user": user.id})).scalar()
                if not row.password_hash and not others:
                    await connection.rollback()
                    return "last"
                return int(row.version)


async def _has_of(connection: AsyncConnection, user_id: bytes, identity: ProviderIdentity) -> bool:
    values = {"user": user_id, "of_provider": identity.provider, "issuer": identity.issuer}
    return bool((await connection.execute(_HAS_OF_PROVIDER, values)).scalar())


async def _version(connection: AsyncConnection, user_id: bytes) -> int:
    return int((await connection.execute(_VERSION, {"user": user_id})).scalar_one())


def _row(user_id: bytes, identity: ProviderIdentity, created_at: int) -> dict[str, Any]:
    return {
        "issuer": identity.issuer,
        "subject": identity.subject,
        "user_id": user_id,
        "provider": identity.provider,
        "created_at": created_at,
    }
