"""Says in the user store that a process runs, so that others wait for it (`peers.py`)."""

import asyncio
from contextlib import suppress

import structlog
from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from service.database.engine import store_errors
from service.database.tables import leases
from service.errors import StoreUnavailable
from service.rollback.dialects import Dialect, to_its_end

log = structlog.get_logger()

LIFE = 30_000
"""How long it is taken for granted that a process runs that has said so, ms."""

_EVERY = 8.0
"""Seconds between two times."""

OVERDUE = LIFE / 1000 - 1.5 * _EVERY
"""Seconds that are left of what was said by whoever should have said it again by now."""

_AGAIN = 1.0
"""Seconds until it is tried again, where the user store did not take it."""

_FIRST_PATIENCE = 2.0
"""Seconds that a start waits for that."""

_PODS = "pod:"


class Presence:
    """Says so from before the first request to after the last. Leases keep it, each a row."""

    def __init__(self, engine: AsyncEngine, owner: bytes) -> None:
        """Say nothing yet. `owner`: what this process is known by."""
        self._engine = engine
        self._owner = owner
        self._name = _PODS + owner.hex()
        self._dialect = Dialect(engine)
        self._is_begun = self._is_said = False

    async def start(self) -> None:
        """Say it for the first time, before anybody is answered, if it goes soon. Never raises."""
        with suppress(TimeoutError, StoreUnavailable):
            async with asyncio.timeout(_FIRST_PATIENCE):
                await self.say()

    async def run(self) -> None:
        """Say it again and again until it is cancelled."""
        while True:
            await asyncio.sleep(_EVERY if self._is_said else _AGAIN)
            self._is_said = False
            try:
                await self.say()
            except StoreUnavailable:  # readiness tells of it
                pass
            except Exception as error:  # a defect must not end it: nobody would start it again
                log.error("rollback.presence", exc_info=error)

    @to_its_end
    async def say(self) -> None:
        """Say it. Raises `StoreUnavailable`."""
        until = self._dialect.now + LIFE
        statement = self._dialect.insert(leases).values(
            name=self._name, owner=self._owner, until=until
        )
        self._is_begun = True
        with store_errors():
            async with self._engine.begin() as connection:
                await connection.execute(
                    statement.on_conflict_do_update(
                        index_elements=[leases.c.name], set_={"until": statement.excluded.until}
                    )
                )
        self._is_said = True
        now = self._dialect.now  # which may have been put back since
        gone = or_(leases.c.until < now - LIFE, leases.c.until > now + LIFE)
        await self._delete(leases.c.name.startswith(_PODS) & gone)

    @to_its_end
    async def others(self) -> dict[bytes, float]:
        """Read which others have said so, and for how many seconds that holds.

        Raises:
            StoreUnavailable
        """
        left = (leases.c.until - self._dialect.now).label("left")
        query = select(leases.c.owner, left).where(
            leases.c.name.startswith(_PODS), leases.c.owner != self._owner
        )
        with store_errors():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(query)).all()
        return {row.owner: row.left / 1000 for row in rows if 0 < row.left <= LIFE}

    async def forget_all(self) -> None:
        """Forget whatever anybody has said: none of them runs. Raises `StoreUnavailable`."""
        await self._delete(leases.c.name.startswith(_PODS))

    @to_its_end
    async def _delete(self, which: ColumnElement[bool]) -> None:
        with store_errors():
            async with self._engine.begin() as connection:
                await connection.execute(delete(leases).where(which))

    async def end(self) -> None:
        """Say that it does not run any more. Never raises."""
        if self._is_begun:
            with suppress(StoreUnavailable):
                await self._delete(leases.c.name == self._name)
