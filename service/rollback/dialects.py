"""What statements of this package need of the user store, whichever database it is."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Table, literal_column
from sqlalchemy.ext.asyncio import AsyncEngine

from service.database.engine import insert_of

P = ParamSpec("P")
T = TypeVar("T")


def to_its_end(
    method: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Let what was begun end, also where its caller is cancelled.

    A driver that is interrupted while it connects leaves a thread behind, and a pool that is
    interrupted while it closes its connections leaves the rest. Both have deadlines themselves.
    """

    @wraps(method)
    async def ended(*arguments: P.args, **named: P.kwargs) -> T:
        task = asyncio.create_task(method(*arguments, **named))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            raise

    return ended


class Dialect:
    """SQLite's or PostgreSQL's."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Find out which of them it is."""
        is_postgresql = engine.dialect.name == "postgresql"
        self._insert = insert_of(engine.dialect.name)
        # The database's own clock: those of the pods differ.
        self.now: Any = literal_column(
            "(extract(epoch from clock_timestamp()) * 1000)::bigint"
            if is_postgresql
            else "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)"
        )
        """Its time, ms since 1970."""

    def insert(self, table: Table) -> Any:
        """Begin an INSERT that may say what a conflict does."""
        return self._insert(table)
