"""Lists accounts by id, a page at a time."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts.user_rows import PAGE, User, user_of
from service.database.engine import store_errors


class UserPages:
    """Lists accounts. May raise `StoreUnavailable`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def page(self, after: bytes, limit: int) -> tuple[Sequence[User], bool]:
        """Read the accounts whose ids follow this one, and tell whether there are more."""
        with store_errors():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(PAGE, {"after": after, "most": limit + 1})).all()
        return [user_of(row) for row in rows[:limit]], len(rows) > limit
