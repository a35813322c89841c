"""Reads which relying parties there are: each has a sink, which the check of sinks looks at."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.exc import DBAPIError

from service.database.engine import open_database
from service.errors import StartupError, StoreUnavailable
from service.relying_parties.parties import RelyingParty
from service.relying_parties.store import RelyingPartyStore

_PATIENCE = timedelta(seconds=5)


async def registered(url: str) -> Sequence[RelyingParty]:
    """Read them; none where the user store cannot be asked or is of before, as its check tells."""
    try:
        engine = open_database(url, patience=_PATIENCE)
    except StartupError:
        return ()
    try:
        return await RelyingPartyStore(engine).all()
    except (StoreUnavailable, DBAPIError):
        return ()
    finally:
        await engine.dispose()
