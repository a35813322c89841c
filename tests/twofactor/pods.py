"""Pods in this process: the services as `service/composition` makes them, by a clock of the test.

Each can be killed, or held, at any step that it takes to a store.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from tools.testbed.parts import CLIENT, PATIENTLY
from tools.testbed.service_process import PASSWORD

from service.accounts.hashing import HashingPool
from service.accounts.password_policy import PasswordPolicy
from service.accounts.passwords import Passwords
from service.accounts.user_rows import User
from service.accounts.users import Users
from service.clock import system_clock
from service.composition.people import create_services
from service.composition.shared import create_shared
from service.database.reader import AccountState, Reader, Rows, open_reader
from service.errors import AlreadyEnabled
from service.keyring.keys import KeysInUse
from service.keyring.kms.local import LocalKeyFile
from service.keyring.store import KeyStore
from service.redis.client import RedisClient
from service.redis.connection import Argument
from service.sessions.access_tokens import Caller
from service.settings import Secret, Settings
from service.twofactor.challenges import Issued
from service.web.services import Services
from tests.support.two_factor import Phone
from tests.support.user_stores import UserStore

STEP = timedelta(seconds=30)


class Watch:
    """A clock that stands still in the middle of a step, at most 45 s ahead, until it is moved."""

    def __init__(self) -> None:
        now = system_clock()
        self.now = now + 1.5 * STEP - timedelta(seconds=now.timestamp() % 30)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, steps: int = 1) -> None:
        self.now += steps * STEP


class Killed(BaseException):
    """The process is gone: nothing that stands after it is carried out, no handler either."""


class Fuse:
    """Before and after each step to a store; blows when it was passed `left` times."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.error: type[BaseException] = Killed
        """What it ends a step with: a kill, unless a test wants what handlers can see."""
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        """What others do at each step."""

    async def burn(self) -> None:
        if self.left is None:
            return
        if self.meanwhile:
            await self.meanwhile()
        if self.left == 0:
            self.left = None
            raise self.error
        self.left -= 1


class FusedLink(RedisClient):
    def __init__(self, url: Secret, fuse: Fuse) -> None:
        super().__init__(url, timing=PATIENTLY)
        self._fuse = fuse

    async def _execute(self, command: tuple[Argument, ...], changing: bool) -> Any:
        await self._fuse.burn()
        reply = await super()._execute(command, changing)
        await self._fuse.burn()
        return reply


class FusedEngine:
    """What the stores use of an engine. A kill within a transaction is one before it."""

    def __init__(self, engine: AsyncEngine, fuse: Fuse) -> None:
        self._engine = engine
        self._fuse = fuse

    def connect(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._around(self._engine.connect())

    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._around(self._engine.begin())

    @asynccontextmanager
    async def _around(
        self, inner: AbstractAsyncContextManager[AsyncConnection]
    ) -> AsyncIterator[AsyncConnection]:
        await self._fuse.burn()
        async with inner as connection:
            yield connection
        await self._fuse.burn()

    def __getattr__(self, name: str) -> Any:
        """What a reader asks of it before its first read."""
        return getattr(self._engine, name)


class FusedReader:
    """A reader of the user store, whose reads go past the engine above."""

    def __init__(self, reader: Reader, fuse: Fuse) -> None:
        self._reader = reader
        self._fuse = fuse
        self.store = reader.store

    def rows(self, columns: Select[Any]) -> Rows:
        read = self._reader.rows(columns)

        async def fused(user_ids: Sequence[bytes]) -> Sequence[tuple[Any, ...]]:
            await self._fuse.burn()
            rows = await read(user_ids)
            await self._fuse.burn()
            return rows

        return fused

    async def states(self, user_ids: Sequence[bytes]) -> Mapping[bytes, AccountState]:
        await self._fuse.burn()
        states = await self._reader.states(user_ids)
        await self._fuse.burn()
        return states


class Somebody:
    """An account, with one living session."""

    def __init__(self, user: User, caller: Caller) -> None:
        self.user = user
        self.caller = caller
        self.phone: Phone
        self.temp_secret_id = ""
        self.recovery_codes: list[str] = []

    @property
    def id(self) -> bytes:
        return self.user.id


class Pod:
    """One process of the service, as far as its use cases go."""

    def __init__(self, services: Services, fuse: Fuse) -> None:
        self.services = services
        self.fuse = fuse

    async def shows(self, somebody: Somebody) -> tuple[bool, int]:
        """What GET /auth/me says: whether 2FA is on, and how many recovery codes are left."""
        user = (await self.services.identities.of(somebody.caller)).user
        return user.two_fa_enabled, user.recovery_codes_left

    async def begin(self, somebody: Somebody) -> None:
        begun = await self.services.enrolments.begin(
            somebody.user, CLIENT, somebody.caller.session_id
        )
        somebody.phone = Phone(begun.otpauth_url)
        somebody.temp_secret_id = begun.enrolment_id.hex()

    async def verify(self, somebody: Somebody, code: str) -> list[str]:
        codes = await self.services.enrolments.verify(
            somebody.id, somebody.temp_secret_id, code, CLIENT
        )
        return list(codes)

    async def asks_for_code(self, somebody: Somebody) -> bool:
        """Whether a login with the password alone opens no session."""
        return isinstance(await self.password(somebody), Issued)

    async def password(self, somebody: Somebody) -> Any:
        return await self.services.accounts.log_in(somebody.user.email, PASSWORD, CLIENT)

    async def challenge(self, somebody: Somebody) -> str:
        issued = await self.password(somebody)
        assert isinstance(issued, Issued)
        return issued.id

    async def answer(self, challenge_id: str, code: str) -> Any:
        return await self.services.second_step.log_in(challenge_id, code, CLIENT)

    async def disable(self, somebody: Somebody, code: str) -> None:
        await self.services.second_factor.disable(somebody.id, code, CLIENT)

    async def renew(self, somebody: Somebody, code: str) -> list[str]:
        renewed = await self.services.second_factor.renew_recovery_codes(somebody.id, code, CLIENT)
        return list(renewed)


class Pods:
    """Pods on one Redis and one user store."""

    def __init__(self, watch: Watch, store: UserStore) -> None:
        self.watch = watch
        self.store = store
        self.all: list[Pod] = []

    def __iter__(self) -> Any:
        return iter(self.all)

    async def sign_up(self) -> Somebody:
        """A new account, which every pod has in its memory."""
        email = f"{secrets.token_hex(8)}@example.com"
        services = self.all[0].services
        signed_up = await services.accounts.sign_up(email, PASSWORD, CLIENT)
        caller = services.access_tokens.verify(signed_up.tokens.access_token)
        somebody = Somebody(signed_up.user, caller)
        for pod in self:
            assert await pod.shows(somebody) == (False, 0)
        return somebody

    async def enrolled(self) -> Somebody:
        """A new account with 2FA on, as every pod knows. The present step is still unused."""
        somebody = await self.sign_up()
        await self.all[0].begin(somebody)
        somebody.recovery_codes = await self.all[0].verify(somebody, self.code(somebody))
        self.watch.advance()
        for pod in self:
            assert await pod.shows(somebody) == (True, 10)
        return somebody

    def code(self, somebody: Somebody, ahead: int = 0) -> str:
        return somebody.phone.code(ahead, at=self.watch())

    def truth(self, somebody: Somebody) -> tuple[bool, int]:
        """What the user store says, asked past the service."""
        [(enabled, left)] = self.store.ask(
            "SELECT two_fa_enabled, (SELECT count(*) FROM recovery_codes WHERE user_id = id)"
            " FROM users WHERE id = $1",
            somebody.id,
        )
        return bool(enabled), left

    async def agree(self, somebody: Somebody) -> bool:
        """Whether all pods show what the user store says, and ask for a code if it says so."""
        enabled, left = self.truth(somebody)
        shown = [await pod.shows(somebody) for pod in self]
        asks = [await pod.asks_for_code(somebody) for pod in self]
        return shown == [(enabled, left)] * len(shown) and asks == [enabled] * len(asks)


@asynccontextmanager
async def running(
    watch: Watch, url: Secret, store: UserStore, directory: Path, count: int = 2, **more: Any
) -> AsyncIterator[Pods]:
    """Pods whose key file lies in `directory`. `more`: settings."""
    settings = Settings(
        env="test", bcrypt_cost=4, redis_url=url, database_url=Secret(store.url), **more
    )
    pods, pool = Pods(watch, store), HashingPool()
    links: list[RedisClient] = []
    engines: list[AsyncEngine] = []
    for _ in range(count):
        fuse = Fuse()
        engines.append(store.open())
        provider = LocalKeyFile.at(directory, None)
        keys = KeysInUse(await KeyStore(engines[-1]).load(provider, system_clock))
        links.append(FusedLink(url, fuse))
        engine: Any = FusedEngine(engines[-1], fuse)
        passwords = Passwords(pool, keys.now.peppers, 4)
        users = Users(engine, FusedReader(open_reader(engines[-1]), fuse))
        # The watch is for codes. Who signs tokens must not be a minute off Redis' time.
        shared = create_shared(
            settings, links[-1], engine, keys, passwords, PasswordPolicy(), users, clock=watch
        )
        pods.all.append(Pod(create_services(shared), fuse))
    yield pods
    await pool.close()
    await asyncio.gather(*(redis_client.aclose() for redis_client in links))
    await asyncio.gather(*(engine.dispose() for engine in engines))


async def finished(call: Any) -> bool:
    """Await what the fuse may end. Whether it came to its end."""
    try:
        await call
    except Killed:
        return False
    return True


async def codes_or_on(call: Any) -> list[str] | None:
    """The recovery codes that a verify answers with; `None` when it says `already_enabled`."""
    try:
        codes: list[str] = await call
    except AlreadyEnabled:
        return None
    return codes
