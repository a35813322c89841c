"""Asks the user store whether the owners of sessions are still there, for many at once.

A refresh asks while Redis rotates. What is asked while a statement is under way, or soon after it
began, goes into the next: so under load one statement serves all refreshes of two milliseconds, and
none is answered from memory. A statement costs as much as a third of a refresh.
Sessions go on while the user store is away: then nothing is known, and nobody waits for long.
"""

import asyncio

from service.accounts.row_lookup import StatementPace
from service.accounts.users import MOST_USERS, AccountState, Users
from service.errors import StoreUnavailable
from service.sessions.owner import Owner

_PATIENCE = 0.25
"""Seconds that a refresh waits for a user store that hangs; and until a broken one is asked again.
While a statement hangs, no other is begun, and nobody else waits."""


class OwnerLookup:
    """Looks up the owner of a session. Called with a user id; the future never fails."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._waiting: list[tuple[bytes, asyncio.Future[Owner]]] = []
        self._asking: asyncio.Task[None] | None = None
        self._away_until = 0.0
        self._pace = StatementPace()
        self._hangs = False

    def __call__(self, user_id: bytes) -> "asyncio.Future[Owner]":
        """Ask what the user store says of this user by now."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Owner] = loop.create_future()
        if self._hangs or loop.time() < self._away_until:
            answer.set_result(Owner())
            return answer
        self._waiting.append((user_id, answer))
        if self._asking is None:
            self._asking = loop.create_task(self._ask())
        return answer

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                await self._pace.wait()
                batch, self._waiting = self._waiting[:MOST_USERS], self._waiting[MOST_USERS:]
                giving_up = loop.call_later(_PATIENCE, self._give_up, batch)
                try:
                    found = await self._users.states([user_id for user_id, _ in batch])
                except StoreUnavailable:
                    self._away_until = loop.time() + _PATIENCE
                    self._settle_all(self._waiting)
                else:
                    for user_id, answer in batch:
                        _settle(answer, _owner(found.get(user_id)))
                finally:
                    giving_up.cancel()
                    self._hangs = False
                    self._settle_all(batch)  # nobody waits for ever, whatever was raised
        finally:
            self._asking = None
            self._settle_all(self._waiting)

    def _give_up(self, batch: "list[tuple[bytes, asyncio.Future[Owner]]]") -> None:
        self._hangs = True
        self._settle_all(batch)
        self._settle_all(self._waiting)

    def _settle_all(self, batch: "list[tuple[bytes, asyncio.Future[Owner]]]") -> None:
        while batch:
            _settle(batch.pop()[1], Owner())


def _owner(state: AccountState | None) -> Owner:
    if state is None:
        return Owner(exists=False, is_known=True)
    return Owner(
        has_second_factor=state.has_second_factor,
        disabled=state.is_disabled,
        sessions_from=state.sessions_from,
        is_known=True,
    )


def _settle(answer: "asyncio.Future[Owner]", owner: Owner) -> None:
    if not answer.done():  # the request may have been cancelled
        answer.set_result(owner)
