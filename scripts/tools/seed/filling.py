"""Filling the stores: one task adds accounts, a few lanes open their sessions, until all is there.

What is missing is found out by asking: the user store has the accounts by their addresses, Redis
counts the sessions of each. So a run that was broken off, however it ended, needs no notes.
"""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from service.cli.progress import Progress
from service.redis.keys import bucket_number
from service.sessions.origin import RequestOrigin
from service.sessions.record import Authentication
from service.sessions.sessions import Sessions
from service.sessions.token_pair import Opened
from tools.http_load.concurrently import gather, together
from tools.seed.accounts import Login, accounts
from tools.seed.devices import devices
from tools.seed.export import Export, line
from tools.seed.line import Line
from tools.seed.stores import Stores

LANES = 6
"""Redis reads 16 kB of a connection, carries that out and syncs its log once. So what comes over
several connections shares the syncs."""
_ACCOUNTS_IN_RANGE = 8000
"""Added in one transaction. Ids are random, so each of them changes another page of SQLite's index:
in small transactions, pages are written over and over, gigabytes of them for 500,000 accounts. In
larger ones the service, which may have to wait for this, would wait too long."""
_SESSIONS_IN_PIECE = 1000
AT_ONCE = 250
"""Calls of a lane under way."""
_SCRIPTS_AT_ONCE = 4
_SESSIONS_IN_SCRIPT = 32
"""Redis does nothing else for half a millisecond while it opens so many."""


class Plan(msgspec.Struct, frozen=True):
    """What is to be there: accounts 1 to `users` of this prefix, each with so many sessions."""

    prefix: str
    users: int
    sessions_each: int

    @property
    def sessions(self) -> int:
        """In all."""
        return self.users * self.sessions_each

    def ranges(self) -> Iterator[range]:
        """Deal out the numbers of the accounts, some at a time."""
        for first in range(1, self.users + 1, _ACCOUNTS_IN_RANGE):
            yield range(first, min(first + _ACCOUNTS_IN_RANGE, self.users + 1))


class Tally(msgspec.Struct):
    """What was found, and what was done about it."""

    accounts_found: int = 0
    accounts_added: int = 0
    sessions_found: int = 0
    sessions_opened: int = 0
    indexes_begun: int = 0
    """Users who had no session before and have some now."""
    users_over: int = 0
    """Users who have more sessions than planned. They are left alone."""


class _Account(msgspec.Struct, frozen=True):
    id: bytes
    email: str
    missing: int


class Filling:
    """The work, which `stop` ends early but in good order: with nothing half done."""

    def __init__(
        self, stores: Stores, plan: Plan, login: Login, export: Export | None, progress: Progress
    ) -> None:
        self._stores = stores
        self._plan = plan
        self._login = login
        self._export = export
        self._progress = progress
        self._devices = devices(2)
        # Full, it holds the accounts back; empty, the lanes.
        self._pieces: asyncio.Queue[list[_Account] | None] = asyncio.Queue(2 * LANES)
        self.tally = Tally()
        self._stop = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Finish what has been begun, and no more."""
        self._stop.set()

    async def run(self) -> None:
        """Add what is missing.

        Raises:
            StoreUnavailable: a store has gone away; what was done until then stays.
            Refused: another run fills the same accounts, or the export cannot be written.
        """
        lanes = [self._lane(sessions) for sessions in self._stores.lanes]
        await together([self._prepare(), *lanes])

    async def _prepare(self) -> None:
        """Add accounts, and pass on what sessions they lack. In order: if any is there, the first
        is, whose hash a later run takes for the others."""
        for numbers in self._plan.ranges():
            todo = await self._look(numbers)
            wanted = (account for account in todo for _ in range(account.missing))
            while not self.stopped and (piece := list(islice(wanted, _SESSIONS_IN_PIECE))):
                await self._pieces.put(piece)
            if self.stopped:
                break
        for _ in self._stores.lanes:
            await self._pieces.put(None)

    async def _lane(self, sessions: Sessions) -> None:
        while (piece := await self._pieces.get()) is not None:
            if not self.stopped:
                await self._open_all(piece, sessions)

    async def _look(self, numbers: range) -> list[_Account]:
        """Find these accounts, those that were missing just added, and what they lack."""
        prefix, each = self._plan.prefix, self._plan.sessions_each
        found, added = await accounts(self._stores, prefix, numbers, self._login)
        counts = await gather(self._stores.sessions.count, found.values(), AT_ONCE)
        todo = [_Account(user_id, email, each) for email, user_id in added.items()]
        todo += [
            _Account(user_id, email, each - count)
            for (email, user_id), count in zip(found.items(), counts, strict=True)
            if count < each
        ]
        there = sum(min(count, each) for count in counts)
        self._progress.advance(there)
        tally = self.tally
        tally.accounts_found += len(found)
        tally.accounts_added += len(added)
        tally.sessions_found += there
        tally.indexes_begun += len(added) + counts.count(0)
        tally.users_over += sum(count > each for count in counts)
        return todo

    async def _open_all(self, wanted: list[_Account], sessions: Sessions) -> None:
        opened = await open_all([account.id for account in wanted], sessions, self._devices)
        self.tally.sessions_opened += len(opened)
        if self._export:
            taken = self._export.take(len(opened))
            pairs = zip(wanted[:taken], opened[:taken], strict=True)
            self._export.write([self._line(*pair) for pair in pairs])
        self._progress.advance(len(opened))

    def _line(self, account: _Account, opened: Opened) -> Line:
        tokens = self._stores.sessions.sign(opened)
        return line(account.id, account.email, self._login.password, tokens)


async def open_all(
    user_ids: Sequence[bytes], sessions: Sessions, clients: Iterator[RequestOrigin]
) -> list[Opened]:
    """Open a session for each, in that order: those of one bucket in one script."""
    places: dict[int, list[int]] = {}
    for place, user_id in enumerate(user_ids):
        places.setdefault(bucket_number(user_id), []).append(place)
    batches = [
        several[start : start + _SESSIONS_IN_SCRIPT]
        for several in places.values()
        for start in range(0, len(several), _SESSIONS_IN_SCRIPT)
    ]

    async def open_some(batch: list[int]) -> list[Opened]:
        people = [(user_ids[place], next(clients)) for place in batch]
        return await sessions.open_many(people, Authentication.PASSWORD, "user.loggedIn")

    opened = await gather(open_some, batches, _SCRIPTS_AT_ONCE)
    found = {
        place: one
        for batch, several in zip(batches, opened, strict=True)
        for place, one in zip(batch, several, strict=True)
    }
    return [found[place] for place in range(len(user_ids))]
