"""The user store. Every call is one statement; all may raise `StoreUnavailable`."""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts.emails import EmailAddress
from service.accounts.passwords import PasswordHash
from service.clock import milliseconds, moment
from service.database.engine import store_errors
from service.database.reader import MOST_USERS, open_reader
from service.database.tables import recovery_codes, users
from service.errors import EmailTaken, StoreUnavailable

__all__ = ["MOST_USERS", "Credentials", "User", "Users"]

_REMEMBERED = 10_000  # rows, about 1 kB each

_GOOD_FOR = 2.0
"""Seconds that a row in memory is good for since the user store last gave or confirmed it."""

_CONFIRMED_EACH = 1.0
"""Seconds between two confirmations of the rows that have been used since."""

_HANGS_AFTER = 0.5
"""Seconds after which a confirmation without an answer means that the user store is away."""

_CONFIRMED_AT_ONCE = 250


class User(msgspec.Struct, frozen=True):
    """An account as its owner sees it. `version` is raised by each change."""

    id: bytes
    email: str
    created_at: datetime
    two_fa_enabled: bool = False
    recovery_codes_left: int = 0
    version: int = 0


class Credentials(msgspec.Struct, frozen=True):
    """An account with what its password is checked against.

    `enrolment_id` is that of the second factor; `None`: a password is enough.
    """

    user: User
    password: PasswordHash
    enrolment_id: bytes | None = None


_CODES_LEFT = (
    select(func.count())
    .select_from(recovery_codes)
    .where(recovery_codes.c.user_id == users.c.id)
    .scalar_subquery()
    .label("recovery_codes_left")
)
_SHOWN = (
    users.c.id,
    users.c.email,
    users.c.created_at,
    users.c.two_fa_enabled,
    users.c.version,
    _CODES_LEFT,
)
_ADD = insert(users)
_GET = select(*_SHOWN).where(users.c.id == bindparam("user_id"))
_FIND = select(*_SHOWN, users.c.password_scheme, users.c.password_hash, users.c.enrolment_id).where(
    users.c.email_key == bindparam("key")
)
_FIND_BY_ID = select(
    *_SHOWN, users.c.password_scheme, users.c.password_hash, users.c.enrolment_id
).where(users.c.id == bindparam("user_id"))
_VERSIONS = select(users.c.id, users.c.version).where(
    users.c.id.in_(bindparam("user_ids", expanding=True))
)
_IDS = select(users.c.email_key, users.c.id).where(
    users.c.email_key.in_(bindparam("keys", expanding=True))
)
_REPLACE = (
    update(users)
    .where(
        users.c.id == bindparam("user_id"),
        users.c.password_scheme == bindparam("old_scheme"),
        users.c.password_hash == bindparam("old_hash"),
    )
    .values(password_scheme=bindparam("new_scheme"), password_hash=bindparam("new_hash"))
)


class _Remembered:
    """A row in memory, until when it is good, and whether it was used since it was confirmed."""

    __slots__ = ("good_until", "used", "user")

    def __init__(self, user: User, good_until: float) -> None:
        self.user = user
        self.good_until = good_until
        self.used = False


class Users:
    """The accounts in the database behind `engine`.

    Rows are kept in memory: asking SQL costs more CPU than all the rest of GET /auth/me. Each is
    good for one version of the row, of which Redis tells whether it is current; and only while the
    user store confirms it, so that nobody goes on with rows that a restored store does not have.
    While the store is away, rows in memory are good as they are.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = open_reader(engine)
        self._get = self._reader.spell(_GET)
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()  # the latest used last
        self._away = False

    async def add(self, email: EmailAddress, password: PasswordHash, now: datetime) -> User:
        """Create an account; its 16-byte id is minted here, its time cut to milliseconds.

        Raises:
            EmailTaken: an account has an address with the same key. Of racing signups one wins.
        """
        created_at = milliseconds(now)
        user = User(secrets.token_bytes(16), email.as_given, moment(created_at))
        row = _row(user.id, email, password, created_at)
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    await connection.execute(_ADD, row)
        except IntegrityError:
            # Which constraint it was, each driver says in its own words. The table says it plainly.
            if await self.find_by_email(email.key) is None:
                raise
            raise EmailTaken from None
        self._remember(user, time.monotonic())
        return user

    async def add_all(
        self, emails: Sequence[EmailAddress], password: PasswordHash, now: datetime
    ) -> list[bytes]:
        """Create accounts that have one password hash: all of them or, if anything fails, none.

        For operators who fill a store; people sign up one by one. The ids, in the same order.

        Raises:
            EmailTaken: an account has one of these addresses, or two of them have the same key.
        """
        created_at = milliseconds(now)
        rows = [_row(secrets.token_bytes(16), email, password, created_at) for email in emails]
        if not rows:
            return []
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    await connection.execute(_ADD, rows)
        except IntegrityError:
            keys = {email.key for email in emails}
            if len(keys) == len(rows) and not await self.ids(list(keys)):
                raise
            raise EmailTaken from None
        return [row["id"] for row in rows]

    async def ids(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The ids of the accounts whose addresses have one of these keys, by key.

        One statement names them all, and databases count: 32,766 at the most.
        """
        with store_errors():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(_IDS, {"keys": list(keys)})).all()
        return {row.email_key: row.id for row in rows}

    async def find_by_email(self, key: str) -> Credentials | None:
        """The account whose address has this key (`emails.lookup_key`)."""
        with store_errors():
            async with self._engine.connect() as connection:
                row = (await connection.execute(_FIND, {"key": key})).first()
        return _credentials(row) if row else None

    async def credentials(self, user_id: bytes) -> Credentials | None:
        """The account with this id, as it is stored now."""
        with store_errors():
            async with self._engine.connect() as connection:
                row = (await connection.execute(_FIND_BY_ID, {"user_id": user_id})).first()
        return _credentials(row) if row else None

    async def second_factors(self, user_ids: Sequence[bytes]) -> Mapping[bytes, bool]:
        """Whether these users have a second factor, by id; those who are not there are missing.

        One statement for all: `MOST_USERS` at the most.
        """
        with store_errors():
            return await self._reader.second_factors(user_ids)

    async def get(self, user_id: bytes, version: int | None) -> User | None:
        """The account with this id; from memory, if `version` of its row is there.

        Without a `version`, as while the row changes, the user store is always asked.
        """
        known = self._remembered.get(user_id)
        if (
            known is not None
            and known.user.version == version
            and (self._away or time.monotonic() < known.good_until)
        ):
            known.used = True
            self._remembered.move_to_end(user_id)
            return known.user
        with store_errors():
            asked = time.monotonic()
            row = await self._reader.one(self._get, user_id)
        if row is None:
            self._remembered.pop(user_id, None)
            return None
        id_, email, created_at, two_fa_enabled, version_now, codes_left = (
            row  # as `_SHOWN` has them
        )
        user = User(id_, email, moment(created_at), bool(two_fa_enabled), codes_left, version_now)
        self._remember(user, asked)
        return user

    async def keep_confirmed(self) -> None:
        """Confirm the rows in memory that are being used, for ever, or until it is cancelled."""
        while True:
            await asyncio.sleep(_CONFIRMED_EACH)
            hanging = asyncio.get_running_loop().call_later(_HANGS_AFTER, self._lose)
            try:
                await self.confirm()
                self._away = False
            except StoreUnavailable:
                self._away = True
            finally:
                hanging.cancel()

    async def confirm(self) -> None:
        """Ask for the versions of the rows that were used since; forget those that are others."""
        used = [user_id for user_id, known in self._remembered.items() if known.used]
        for start in range(0, len(used), _CONFIRMED_AT_ONCE):
            user_ids = used[start : start + _CONFIRMED_AT_ONCE]
            asked = time.monotonic()
            with store_errors():
                async with self._engine.connect() as connection:
                    rows = (await connection.execute(_VERSIONS, {"user_ids": user_ids})).all()
            versions = {row.id: row.version for row in rows}
            for user_id in user_ids:
                known = self._remembered.get(user_id)
                if known is None or known.good_until > asked + _GOOD_FOR:
                    continue  # read anew meanwhile
                if versions.get(user_id) == known.user.version:
                    known.used, known.good_until = False, asked + _GOOD_FOR
                else:
                    del self._remembered[user_id]

    def _lose(self) -> None:
        self._away = True

    async def replace_password_hash(
        self, user_id: bytes, old: PasswordHash, new: PasswordHash
    ) -> bool:
        """Store `new`, if `old` is still what is stored; else change nothing and answer False."""
        change = {
            "user_id": user_id,
            "old_scheme": old.scheme,
            "old_hash": old.value,
            "new_scheme": new.scheme,
            "new_hash": new.value,
        }
        with store_errors():
            async with self._engine.begin() as connection:
                return (await connection.execute(_REPLACE, change)).rowcount == 1

    def _remember(self, user: User, read_at: float) -> None:
        self._remembered[user.id] = _Remembered(user, read_at + _GOOD_FOR)
        self._remembered.move_to_end(user.id)
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)


def _row(
    user_id: bytes, email: EmailAddress, password: PasswordHash, created_at: int
) -> dict[str, Any]:
    return {
        "id": user_id,
        "email": email.as_given,
        "email_key": email.key,
        "password_hash": password.value,
        "password_scheme": password.scheme,
        "two_fa_enabled": False,
        "created_at": created_at,
    }


def _credentials(row: Row[*tuple[Any, ...]]) -> Credentials:
    password = PasswordHash(row.password_scheme, row.password_hash)
    return Credentials(_user(row), password, row.enrolment_id)


def _user(row: Row[*tuple[Any, ...]]) -> User:
    return User(
        id=row.id,
        email=row.email,
        created_at=moment(row.created_at),
        two_fa_enabled=row.two_fa_enabled,
        recovery_codes_left=row.recovery_codes_left,
        version=row.version,
    )
