"""The table of relying parties. All calls may raise `StoreUnavailable`.

Each client id has one row, for good: one whose registration has ended has no place. The places, of
which there are `MOST`, bound how many there may be, whoever registers some at once.
"""

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.clock import milliseconds, moment
from service.database.engine import store_errors
from service.database.tables import relying_parties as table
from service.errors import Overloaded, TooManyRelyingParties
from service.relying_parties.parties import MOST, RelyingParty, registered

_ADD = insert(table)
_FORGET = delete(table).where(table.c.client_id == bindparam("client"), table.c.place.is_(None))
_ALL = select(table).where(table.c.place.is_not(None)).order_by(table.c.created_at, table.c.id)
_FIND = select(table).where(table.c.client_id == bindparam("client"))
_REMOVE = (
    update(table)
    .where(table.c.id == bindparam("party"), table.c.place.is_not(None))
    .values(place=None, backchannel_logout_uri="", removed_at=bindparam("now"))
)

_TRIES = 5
"""So often a place is looked for that somebody else takes at that moment."""


class RelyingPartyStore:
    """Reads and writes relying parties in the database behind `engine`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def all(self) -> Sequence[RelyingParty]:
        """Read all that are registered, the oldest first."""
        with store_errors():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(_ALL)).all()
        return [_party_of(row) for row in rows]

    async def find(self, client_id: str) -> tuple[RelyingParty | None, bool]:
        """Read the one of a client; `None` if it is not registered, and whether it ever was."""
        with store_errors():
            async with self._engine.connect() as connection:
                row = (await connection.execute(_FIND, {"client": client_id})).first()
        if row is None or row.place is None:
            return None, row is not None
        return _party_of(row), True

    async def add(self, party: RelyingParty) -> RelyingParty:
        """Store a new one. Return it, or what somebody has stored meanwhile that says the same.

        Raises:
            RelyingPartyExists: the client has one that says something else.
            TooManyRelyingParties
        """
        for _ in range(_TRIES):
            with store_errors():
                async with self._engine.connect() as connection:
                    rows = (await connection.execute(_ALL)).all()
            if other := registered(map(_party_of, rows), party):
                return other
            places = set(range(MOST)).difference(row.place for row in rows)
            if not places:
                raise TooManyRelyingParties(MOST)
            try:
                # Whoever else registers one at this moment hardly takes the same.
                await self._add(party, random.choice(sorted(places)))  # noqa: S311  no secret
            except IntegrityError:  # somebody has that place, or that client, by now
                continue
            return party
        raise Overloaded(1)

    async def _add(self, party: RelyingParty, place: int) -> None:
        row = {
            "client_id": party.client_id,
            "id": party.id,
            "place": place,
            "backchannel_logout_uri": party.backchannel_logout_uri,
            "session_required": party.session_required,
            "since": party.since,
            "created_at": milliseconds(party.created_at),
        }
        with store_errors():
            async with self._engine.begin() as connection:
                await connection.execute(_FORGET, {"client": party.client_id})
                await connection.execute(_ADD, row)

    async def remove(self, party: RelyingParty, now: datetime) -> None:
        """End a registration, unless it has ended."""
        with store_errors():
            async with self._engine.begin() as connection:
                values = {"party": party.id, "now": milliseconds(now)}
                await connection.execute(_REMOVE, values)


def _party_of(row: Row[*tuple[Any, ...]]) -> RelyingParty:
    return RelyingParty(
        id=row.id,
        client_id=row.client_id,
        backchannel_logout_uri=row.backchannel_logout_uri,
        session_required=row.session_required,
        since=row.since,
        created_at=moment(row.created_at),
    )
