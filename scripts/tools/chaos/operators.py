"""Operators, who disable, enable and delete accounts and end sessions: a process besides the pods.

They use the use cases of the command line, within this process: one of its own for each command
would take longer than a schedule has.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

from service.composition.operators import create_operations
from service.composition.shared import create_redis_client
from service.database.engine import open_database
from service.errors import StoreUnavailable, UserNotFound
from service.keyring.keys import KeysInUse, ServiceKeys
from service.keyring.signing import SigningKeys
from service.operators.operations import Operations
from service.operators.request import CLI, OperatorRequest
from service.sessions.origin import NOBODY
from service.settings import Settings
from tools.chaos.history import Kind, Operation
from tools.chaos.requests import PATIENCE, Answer, Requests

PROCESS = -1
"""The number that the history gives their process."""

_DATABASE_PATIENCE = timedelta(seconds=2)


class Operators:
    """Carries out what operators ask for, and writes everything down."""

    def __init__(self, does: Operations, requests: Requests) -> None:
        self._does = does
        self._requests = requests
        self._request = OperatorRequest(CLI, "chaos", NOBODY)
        self._calls: dict[Kind, Callable[[str], Awaitable[object]]] = {
            "users_logout": self._log_out,
            "users_disable": self._disable,
            "users_enable": self._enable,
            "users_delete": self._delete,
            "cutoff": lambda _: does.sessions.end_everybody(self._request),
        }

    async def send(self, kind: Kind, email: str = "") -> Answer:
        """Do it once. Whoever gives up does so wherever it is by then, as one who is killed."""

        async def ask(_: Operation) -> tuple[int, Answer]:
            try:
                await asyncio.wait_for(self._calls[kind](email), PATIENCE)
            except UserNotFound:
                return 0, Answer("refused", "user_not_found", {})
            except (StoreUnavailable, TimeoutError) as error:
                return 0, Answer("unknown", type(error).__name__, {})
            return 0, Answer("ok", "", {})

        return await self._requests.record(kind, email, PROCESS, ask)

    async def _log_out(self, email: str) -> None:
        user = await self._does.lookup.find(email)
        await self._does.sessions.end_all(user.id, self._request)

    async def _disable(self, email: str) -> None:
        user = await self._does.lookup.find(email)
        await self._does.accounts.disable(user, self._request)

    async def _enable(self, email: str) -> None:
        user = await self._does.lookup.find(email)
        await self._does.accounts.enable(user, self._request)

    async def _delete(self, email: str) -> None:
        user = await self._does.lookup.find(email)
        await self._does.accounts.delete(user.id, self._request)


@asynccontextmanager
async def at_work(environment: Mapping[str, str], requests: Requests) -> AsyncIterator[Operators]:
    """Connect them to the stores that `environment` names, as the service's own variables do."""
    settings = Settings.from_environment(environment)
    redis = create_redis_client(settings)
    engine = open_database(settings.database_url.reveal(), patience=_DATABASE_PATIENCE)
    keys = KeysInUse(ServiceKeys.closed(SigningKeys.public_only([])))
    try:
        yield Operators(create_operations(settings, redis, engine, keys), requests)
    finally:
        await redis.aclose()
        await engine.dispose()
