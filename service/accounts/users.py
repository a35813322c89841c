"""The user store. Every call is one statement; all may raise `StoreUnavailable`."""

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from time import monotonic

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts.email_changes import refuse_former
from service.accounts.emails import EmailAddress
from service.accounts.passwords import PasswordHash
from service.accounts.row_lookup import RowLookup
from service.accounts.row_memory import RowMemory
from service.accounts.user_rows import (
    ADD,
    FIND,
    FIND_BY_ID,
    IDS,
    REPLACE,
    SHOWN,
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
from service.repeating import repeat

__all__ = ["MOST_USERS", "AccountState", "Credentials", "User", "Users"]

_CONFIRMED_EACH = 1.0
"""Seconds between two looks at the user store, and two confirmations of the rows that have been
used since."""

_HANGS_AFTER = 0.5
"""Seconds after which a statement of these without an answer means that the user store is away."""


class Users:
    """Reads and writes the accounts in the database behind `engine`.

    Rows are kept in memory: asking SQL costs as much as a third of GET /auth/me, and the user store
    is one for all pods. `row_memory.py` tells until when each is good.
    """

    def __init__(self, engine: AsyncEngine, reader: Reader | None = None) -> None:
        self._engine = engine
        self._reader = reader or open_reader(engine)
        self._shown = self._reader.rows(SHOWN)
        self._versions = self._reader.rows(VERSIONS)
        self._lookup = RowLookup(self._read)
        self._memory = RowMemory()
        self._store: object = None
        self.doubt = self._memory.doubt
        """Ask the user store for each row again: Redis may have gone back."""

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
        asked = monotonic()
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
        self._memory.keep(user, asked)
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
        if version is not None:
            known = self._memory.find(user_id, version)
            if known is not None:
                return known
        return await self._lookup.find(user_id)

    async def keep_confirmed(self) -> None:
        """Confirm the rows in memory that are used, again and again, until it is cancelled."""
        await repeat("user_store.confirm", self._confirm_used, _CONFIRMED_EACH)

    async def _confirm_used(self) -> None:
        self._memory.sweep()  # also where nobody asks, or the user store is away
        if not self._memory.was_asked and not self._memory.is_away:
            return
        try:
            await self.look()
            await self.confirm()
            self._memory.is_away = False
        except StoreUnavailable:
            self._memory.is_away = True

    async def look(self) -> None:
        """See whether the user store is the one that it was; doubt what another has told."""
        asked = monotonic()
        with self._answer_in_time(), store_errors():
            store = await self._reader.store()
        if self._store not in (store, None):
            self._memory.doubt()
        self._store = store
        self._memory.see_store(asked)

    async def confirm(self) -> None:
        """Ask for the versions of the rows used since the last time; forget those that differ."""
        used = self._memory.take_used()
        for start in range(0, len(used), MOST_USERS):
            user_ids = used[start : start + MOST_USERS]
            asked = monotonic()
            with self._answer_in_time(), store_errors():
                versions = dict[bytes, int](await self._versions(user_ids))
            for user_id in user_ids:
                self._memory.confirm(user_id, versions.get(user_id), asked)

    @contextmanager
    def _answer_in_time(self) -> Iterator[None]:
        """Take the user store for away once this has lasted too long; a table may be locked."""
        hanging = asyncio.get_running_loop().call_later(_HANGS_AFTER, self._lose)
        try:
            yield
        finally:
            hanging.cancel()

    def _lose(self) -> None:
        self._memory.is_away = True

    async def _read(self, user_ids: Sequence[bytes]) -> Mapping[bytes, User]:
        """Read rows, and keep them in memory."""
        asked = monotonic()
        with store_errors():
            rows = await self._shown(user_ids)
        found = {user.id: user for user in map(user_of, rows)}
        for user_id in user_ids:
            if user_id in found:
                self._memory.keep(found[user_id], asked)
            else:
                self._memory.forget(user_id)
        return found

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
