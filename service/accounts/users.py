"""The user store. Every call is one statement; all may raise `StoreUnavailable`."""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts.email_changes import refuse_former
from service.accounts.emails import EmailAddress
from service.accounts.passwords import PasswordHash
from service.accounts.user_rows import (
    ADD,
    FIND,
    FIND_BY_ID,
    GET,
    IDS,
    REPLACE,
    VERSIONS,
    Credentials,
    User,
    credentials_of,
    new_row,
    user_of,
)
from service.clock import milliseconds, moment
from service.database.engine import store_errors
from service.database.reader import MOST_USERS, AccountState, Reader, open_reader
from service.errors import EmailTaken, StoreUnavailable

__all__ = ["MOST_USERS", "AccountState", "Credentials", "User", "Users"]

_REMEMBERED = 10_000  # rows, about 1 kB each

_GOOD_FOR = 2.0
"""Seconds that a row in memory is good for since the user store last gave or confirmed it."""

_CONFIRMED_EACH = 1.0
"""Seconds between two confirmations of the rows that have been used since."""

_HANGS_AFTER = 0.5
"""Seconds after which a confirmation without an answer means that the user store is away."""

_CONFIRMED_AT_ONCE = 250


class _Remembered:
    """A row in memory, until when it is good, and whether it was used since it was confirmed."""

    __slots__ = ("good_until", "used", "user")

    def __init__(self, user: User, good_until: float) -> None:
        self.user = user
        self.good_until = good_until
        self.used = False


class Users:
    """Reads and writes the accounts in the database behind `engine`.

    Rows are kept in memory: asking SQL costs more CPU than all the rest of GET /auth/me. Each is
    good for one version of the row, of which Redis tells whether it is current; and only while the
    user store confirms it, so that nobody goes on with rows that a restored store does not have.
    While the store is away, rows in memory are good as they are.
    """

    def __init__(self, engine: AsyncEngine, reader: Reader | None = None) -> None:
        self._engine = engine
        self._reader = reader or open_reader(engine)
        self._get = self._reader.spell(GET)
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()  # the latest used last
        self._away = False

    async def add(
        self,
        email: EmailAddress,
        password: PasswordHash,
        now: datetime,
        locale: str = "",
        *,
        awaits_verification: bool = False,
    ) -> User:
        """Create an account; its 16-byte id is minted here, its time cut to milliseconds.

        Raises:
            EmailTaken: an account has an address with the same key, or had it a short while ago. Of
                racing signups one wins.
        """
        created_at, waits = milliseconds(now), awaits_verification
        user = User(
            secrets.token_bytes(16),
            email.as_given,
            moment(created_at),
            locale=locale or None,
            awaits_verification=waits,
        )
        row = new_row(user.id, email, password, created_at, user.locale, awaits_verification=waits)
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    await connection.execute(ADD, row)
                    await refuse_former(connection, email.key, user.id, now)
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

        For operators who fill a store; people sign up one by one. Returns the ids in that order.

        Raises:
            EmailTaken: an account has one of these addresses, or two of them have the same key.
        """
        created_at = milliseconds(now)
        rows = [new_row(secrets.token_bytes(16), email, password, created_at) for email in emails]
        if not rows:
            return []
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    await connection.execute(ADD, rows)
        except IntegrityError:
            keys = {email.key for email in emails}
            if len(keys) == len(rows) and not await self.ids(list(keys)):
                raise
            raise EmailTaken from None
        return [row["id"] for row in rows]

    async def ids(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Find the ids of the accounts whose addresses have one of these keys, by key.

        One statement names them all, and databases count: 32,766 at the most.
        """
        with store_errors():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(IDS, {"keys": list(keys)})).all()
        return {row.email_key: row.id for row in rows}

    async def find_by_email(self, key: str) -> Credentials | None:
        """Find the account whose address has this key (`emails.lookup_key`)."""
        with store_errors():
            async with self._engine.connect() as connection:
                row = (await connection.execute(FIND, {"key": key})).first()
        return credentials_of(row) if row else None

    async def credentials(self, user_id: bytes) -> Credentials | None:
        """Read the account with this id, and its password's hash, as they are stored now."""
        with store_errors():
            async with self._engine.connect() as connection:
                row = (await connection.execute(FIND_BY_ID, {"user_id": user_id})).first()
        return credentials_of(row) if row else None

    async def states(self, user_ids: Sequence[bytes]) -> Mapping[bytes, AccountState]:
        """Read the states of accounts, by user id; of those who are not there it has none.

        One statement for all: `MOST_USERS` at the most.
        """
        with store_errors():
            return await self._reader.states(user_ids)

    async def get(self, user_id: bytes, version: int | None) -> User | None:
        """Return the account with this id; from memory, if `version` of it is there.

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
        user = user_of(row)
        self._remember(user, asked)
        return user

    async def keep_confirmed(self) -> None:
        """Confirm the rows in memory that are used, again and again, until it is cancelled."""
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
        """Ask for the versions of the rows used since the last time; forget those that differ."""
        used = [user_id for user_id, known in self._remembered.items() if known.used]
        for start in range(0, len(used), _CONFIRMED_AT_ONCE):
            user_ids = used[start : start + _CONFIRMED_AT_ONCE]
            asked = time.monotonic()
            with store_errors():
                async with self._engine.connect() as connection:
                    rows = (await connection.execute(VERSIONS, {"user_ids": user_ids})).all()
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
                return (await connection.execute(REPLACE, change)).rowcount == 1

    def _remember(self, user: User, read_at: float) -> None:
        self._remembered[user.id] = _Remembered(user, read_at + _GOOD_FOR)
        self._remembered.move_to_end(user.id)
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)
