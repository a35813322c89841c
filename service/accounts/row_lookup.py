"""Reads rows of users, many in one statement.

Who asks in one turn of the event loop shares a statement, as the replies of Redis to many requests
come in one. What is asked for while it is under way, or soon after it began, goes into the next: so
each read begins after it was asked for. Under load a person whom the process does not know costs a
few microseconds instead of a turn of a thread, in which two threads want the interpreter, or of a
connection.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence

from service.accounts.user_rows import User
from service.database.reader import MOST_USERS
from service.errors import ServiceError

STATEMENT_EACH = 0.002
"""Seconds between the beginnings of two statements, at least. Who asks later than that after the
last one does not wait. Under load they share: else, where a statement is answered before the next
one asks, each has its own."""


class StatementPace:
    """When the next statement may begin."""

    def __init__(self) -> None:
        """At once."""
        self._next_at = 0.0

    async def wait(self) -> None:
        """Wait for the time of the next statement, a turn of the event loop at least."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._next_at - loop.time()))
        self._next_at = loop.time() + STATEMENT_EACH


Read = Callable[[Sequence[bytes]], Awaitable[Mapping[bytes, User]]]


class RowLookup:
    """Looks up rows by `read`, which takes `MOST_USERS` ids at the most."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._waiting: list[tuple[bytes, asyncio.Future[User | None]]] = []
        self._is_busy = False
        self._rest: asyncio.Task[None] | None = None
        self._pace = StatementPace()

    async def find(self, user_id: bytes) -> User | None:
        """Read the row of a user as it is by now. Raises what `read` raises.

        A store that fails one fails all who wait by then: each is told in the time of one read.
        """
        if self._is_busy:
            answer: asyncio.Future[User | None] = asyncio.get_running_loop().create_future()
            self._waiting.append((user_id, answer))
            return await answer
        self._is_busy = True
        batch: list[tuple[bytes, asyncio.Future[User | None]]] = []
        try:
            await self._pace.wait()  # who asks in this turn, too, shares the statement
            batch, self._waiting = self._waiting[: MOST_USERS - 1], self._waiting[MOST_USERS - 1 :]
            found = await self._read([user_id, *(other for other, _ in batch)])
        except Exception as error:  # whatever it is, nobody who shares the read waits for ever
            self._fail(batch, error)
            raise
        except asyncio.CancelledError:  # of this one: the others go on
            self._waiting = [*batch, *self._waiting]
            raise
        else:
            _answer(batch, found)
            return found.get(user_id)
        finally:
            self._go_on()

    def _go_on(self) -> None:
        self._is_busy = bool(self._waiting)
        if self._waiting:
            self._rest = asyncio.get_running_loop().create_task(self._read_waiting())

    async def _read_waiting(self) -> None:
        try:
            while self._waiting:
                await self._pace.wait()  # who asks again at once goes into this statement
                batch, self._waiting = self._waiting[:MOST_USERS], self._waiting[MOST_USERS:]
                try:
                    found = await self._read([user_id for user_id, _ in batch])
                except Exception as error:  # whatever it is: here, too
                    self._fail(batch, error)
                    return
                _answer(batch, found)
        finally:
            self._go_on()

    def _fail(
        self, batch: "Sequence[tuple[bytes, asyncio.Future[User | None]]]", error: Exception
    ) -> None:
        waiting, self._waiting = [*batch, *self._waiting], []
        for _, answer in waiting:
            if not answer.done():
                answer.set_exception(_own(error))


def _own(error: Exception) -> Exception:
    """Make an error for one request of that of many: it will say whom it is about."""
    if not isinstance(error, ServiceError):
        return error
    own = copy.copy(error)
    own.__cause__ = error.__cause__
    return own


def _answer(
    batch: "Sequence[tuple[bytes, asyncio.Future[User | None]]]", found: Mapping[bytes, User]
) -> None:
    for user_id, answer in batch:
        if not answer.done():  # the request may have been cancelled
            answer.set_result(found.get(user_id))
