"""Shares the costs of password hashes that are in use with all processes, by the user store."""

import asyncio
from functools import partial

from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts.passwords import Passwords
from service.database.engine import store_errors
from service.database.tables import password_costs
from service.repeating import repeat

_POLL = 10.0
"""Seconds until a process knows of a cost that another has begun to use."""

_HIGHEST = select(func.max(password_costs.c.cost))
_HAS = select(password_costs.c.cost).where(password_costs.c.cost == bindparam("wanted"))
_ADD = insert(password_costs)


class PasswordCosts:
    """The costs noted in the database behind `engine`. All may raise `StoreUnavailable`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def note(self, cost: int) -> None:
        """Note a cost before the first hash of it is stored. Safe to race and to repeat."""
        with store_errors():
            async with self._engine.connect() as connection:
                if (await connection.execute(_HAS, {"wanted": cost})).first() is not None:
                    return
        try:
            with store_errors():
                async with self._engine.begin() as connection:
                    await connection.execute(_ADD, {"cost": cost})
        except IntegrityError:
            return  # another process was first

    async def highest(self) -> int:
        """Return the highest cost that was ever noted; 0 where none was."""
        with store_errors():
            async with self._engine.connect() as connection:
                return (await connection.execute(_HIGHEST)).scalar_one() or 0

    async def share(self, passwords: Passwords) -> None:
        """Note the highest cost that `passwords` knows, and tell `passwords` the highest noted."""
        known, noted = passwords.highest_cost, await self.highest()
        passwords.expect(noted)
        if known > noted:
            await self.note(known)

    async def follow(self, passwords: Passwords) -> None:
        """Call `share` again and again, until it is cancelled."""
        await asyncio.sleep(_POLL)
        await repeat("password costs", partial(self.share, passwords), _POLL)
