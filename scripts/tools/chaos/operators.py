"""Operators, who disable, enable and delete accounts and end sessions: a process besides the pods.

They use the use cases of the command line, each with connections of its own as a command has, but
within this process: one of its own for each would take longer than a schedule has.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from service.composition.operators import create_operations
from service.composition.rollback import opened_redis
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


_Command = Callable[[Operations, str, OperatorRequest], Awaitable[object]]


class Operators:
    """Carries out what operators ask for, and writes everything down."""

    def __init__(self, environment: Mapping[str, str], requests: Requests) -> None:
        """Connect to nothing yet. `environment` names the stores, as that of a pod does."""
        self._settings = Settings.from_environment(environment)
        self._requests = requests
        self._request = OperatorRequest(CLI, "chaos", NOBODY)

    async def send(self, kind: Kind, email: str = "") -> Answer:
        """Do it once. Whoever gives up does so wherever it is by then, as one who is interrupted
        and still tells the fence what has ended."""

        async def ask(_: Operation) -> tuple[int, Answer]:
            try:
                await asyncio.wait_for(self._carry_out(_COMMANDS[kind], email), PATIENCE)
            except UserNotFound:
                return 0, Answer("refused", "user_not_found", {})
            except (StoreUnavailable, TimeoutError) as error:
                return 0, Answer("unknown", type(error).__name__, {})
            return 0, Answer("ok", "", {})

        return await self._requests.record(kind, email, PROCESS, ask)

    async def _carry_out(self, command: _Command, email: str) -> None:
        engine = open_database(self._settings.database_url.reveal(), patience=_DATABASE_PATIENCE)
        keys = KeysInUse(ServiceKeys.closed(SigningKeys.public_only([])))
        try:
            async with opened_redis(self._settings, fenced=True) as redis:
                does = create_operations(self._settings, redis, engine, keys)
                await command(does, email, self._request)
        finally:
            await engine.dispose()


async def _log_out(does: Operations, email: str, request: OperatorRequest) -> None:
    user = await does.lookup.find(email)
    await does.sessions.end_all(user.id, request)


async def _disable(does: Operations, email: str, request: OperatorRequest) -> None:
    await does.accounts.disable(await does.lookup.find(email), request)


async def _enable(does: Operations, email: str, request: OperatorRequest) -> None:
    await does.accounts.enable(await does.lookup.find(email), request)


async def _delete(does: Operations, email: str, request: OperatorRequest) -> None:
    user = await does.lookup.find(email)
    await does.accounts.delete(user.id, request)


async def _end_everybody(does: Operations, _: str, request: OperatorRequest) -> None:
    await does.sessions.end_everybody(request)


_COMMANDS: Mapping[Kind, _Command] = {
    "users_logout": _log_out,
    "users_disable": _disable,
    "users_enable": _enable,
    "users_delete": _delete,
    "cutoff": _end_everybody,
}
