"""Accounts and sessions for the calls that are measured, made by the service's own code."""

import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import chain, islice, repeat
from secrets import token_bytes

import msgspec

from service.accounts.emails import EmailAddress, normalize
from service.accounts.passwords import PasswordHash
from service.cli.progress import Progress
from service.clock import system_clock
from service.database.migration import migrate
from service.sessions.origin import NOBODY, RequestOrigin
from service.sessions.record import Authentication
from service.sessions.sessions import Sessions
from service.sessions.token_pair import TokenPair
from service.settings import Settings
from tools.http_load.concurrently import gather, together
from tools.seed.devices import devices
from tools.seed.filling import LANES, open_all
from tools.seed.stores import Stores, open_stores

_AT_ONCE = 32
_BATCH = 2000  # of a lane


class Signed(msgspec.Struct, frozen=True):
    """A session: its tokens, and the device it was opened from."""

    tokens: TokenPair
    client: RequestOrigin


class Seeder:
    """Opens sessions in the stores of a service that runs, or will."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._accounts: list[bytes] = []
        self._api_key = ""
        self._devices = devices(2)

    async def accounts(self, count: int) -> list[bytes]:
        """Give the ids of `count` accounts, the same at each call. Nobody knows their passwords."""
        self._accounts += await self.new_accounts(count - len(self._accounts))
        return self._accounts[:count]

    async def new_accounts(self, count: int) -> list[bytes]:
        """Add `count` accounts that nobody has a session of, and give their ids."""
        emails, nobody = [_address() for _ in range(count)], PasswordHash(1, "*")
        return await self._stores.users.add_all(emails, nobody, system_clock())

    async def people(self, count: int, password: str) -> list[str]:
        """Add `count` accounts, all with this password, and give their e-mail addresses."""
        hashed = await self._stores.passwords.hash(password)  # once for all: it is what takes long
        emails = [_address() for _ in range(count)]
        await self._stores.users.add_all(emails, hashed, system_clock())
        return [email.as_given for email in emails]

    async def api_key(self) -> str:
        """Make an API key for introspection, and give its text; the same at each call."""
        if not self._api_key:
            made = await self._stores.api_keys.create(
                "a gateway", ("introspect",), None, NOBODY, by="bench", reason="measuring"
            )
            self._api_key = made.text
        return self._api_key

    async def open(self, user_ids: Iterable[bytes]) -> list[Signed]:
        """Open a session for each id. The ids need no account."""
        return await gather(self._open, user_ids, _AT_ONCE)

    async def _open(self, user_id: bytes) -> Signed:
        client = next(self._devices)
        tokens = await self._stores.sessions.open(
            user_id, Authentication.PASSWORD, "user.loggedIn", client
        )
        return Signed(tokens, client)


@asynccontextmanager
async def seeding(settings: Settings) -> AsyncIterator[Seeder]:
    """Open a seeder on the stores that `settings` name, which are founded if they are new."""
    migrate(settings.database_url.reveal())
    async with open_stores(settings, founding=True) as stores:
        yield Seeder(stores)


async def fill(settings: Settings, count: int, progress: Progress) -> None:
    """Open so many sessions, two for each user, as fast as may be. Their tokens are dropped."""
    clients = devices(3)
    users = chain.from_iterable(repeat(token_bytes(16), 2) for _ in range((count + 1) // 2))
    wanted = islice(users, count)

    async def lane(sessions: Sessions) -> None:
        while batch := list(islice(wanted, _BATCH)):
            await open_all(batch, sessions, clients)
            progress.advance(len(batch))

    async with open_stores(settings, lanes=LANES) as stores:
        await together(lane(sessions) for sessions in stores.lanes)


def _address() -> EmailAddress:
    return normalize(f"{secrets.token_hex(8)}@example.org")
