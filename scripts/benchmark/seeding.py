"""Accounts and sessions made by the service's own code, without HTTP, as many as are wanted."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from random import Random
from typing import TypeVar

import msgspec

from benchmark.devices import device
from service.accounts.emails import EmailAddress, normalize
from service.accounts.hashing import HashingPool
from service.accounts.passwords import PasswordHash, Passwords
from service.accounts.users import Users
from service.app import create_access_tokens, create_refresh_tokens, create_sessions
from service.clock import system_clock
from service.database.engine import open_database
from service.database.migration import migrate
from service.keyring.providers import open_key_services
from service.keyring.store import KeyStore
from service.keyspace.link import Link
from service.sessions.client import Client
from service.sessions.record import Authentication
from service.sessions.sessions import Sessions, TokenPair
from service.settings import Settings

_AT_ONCE = 32

Item = TypeVar("Item")
Made = TypeVar("Made")


class Signed(msgspec.Struct, frozen=True):
    """A session: its tokens, and the device it was opened from."""

    tokens: TokenPair
    client: Client


class Seeder:
    """Opens sessions in the stores of a service that runs, or will."""

    def __init__(self, users: Users, passwords: Passwords, sessions: Sessions) -> None:
        self._users = users
        self._passwords = passwords
        self._sessions = sessions
        self._accounts: list[bytes] = []
        self._random = Random(2)  # noqa: S311  # the same devices in every run

    async def accounts(self, count: int) -> list[bytes]:
        """The ids of `count` accounts, the same ones at each call. Nobody knows their passwords."""
        nobody = PasswordHash(1, "*")
        while len(self._accounts) < count:
            user = await self._users.add(_address(), nobody, system_clock())
            self._accounts.append(user.id)
        return self._accounts[:count]

    async def people(self, count: int, password: str) -> list[str]:
        """The e-mail addresses of `count` new accounts, all with this password."""
        hashed = await self._passwords.hash(password)  # once for all, as it is what takes long
        users = [await self._users.add(_address(), hashed, system_clock()) for _ in range(count)]
        return [user.email for user in users]

    async def open(self, user_ids: Iterable[bytes]) -> list[Signed]:
        """A session for each id, from a device of its own. The ids need no account."""
        return await _gather(self._open, user_ids)

    async def _open(self, user_id: bytes) -> Signed:
        client = device(self._random)
        tokens = await self._sessions.open(
            user_id, Authentication.PASSWORD, "user.loggedIn", client
        )
        return Signed(tokens, client)


@asynccontextmanager
async def seeding(settings: Settings) -> AsyncIterator[Seeder]:
    """A seeder on the stores that `settings` name, with the keys that the service has there."""
    migrate(settings.database_url.reveal())
    engine = open_database(settings.database_url.reveal())
    link = Link(settings.redis_url)
    provider = open_key_services(settings, os.environ)
    keys = await KeyStore(engine).load(provider, system_clock)
    sessions = create_sessions(
        settings, link, create_access_tokens(settings, keys), create_refresh_tokens(keys)
    )
    pool = HashingPool()
    passwords = Passwords(pool, keys.peppers, settings.bcrypt_cost)
    yield Seeder(Users(engine), passwords, sessions)
    await pool.close()
    await link.aclose()
    await engine.dispose()


def _address() -> EmailAddress:
    return normalize(f"{secrets.token_hex(8)}@example.org")


async def _gather(make: Callable[[Item], Awaitable[Made]], items: Iterable[Item]) -> list[Made]:
    """`make` of every item, a few at once, in any order."""
    waiting, made = iter(items), list[Made]()

    async def work() -> None:
        for item in waiting:
            made.append(await make(item))

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
    return made
