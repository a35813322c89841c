"""Checks the user store: whether it answers, is of our version, and takes changes."""

from datetime import timedelta
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from service.cli.doctor.findings import Finding, fault, ok, warning
from service.composition.rollback import CONNECTIONS
from service.database import versions
from service.database.engine import check_writable, is_postgresql, open_database, store_errors
from service.database.poolers import refuse_shared_sessions
from service.errors import SettingsError, StartupError, StoreUnavailable
from service.settings import Settings

_PATIENCE = timedelta(seconds=5)
_PART = "users"
_REACH = (
    "see that the database in SERVICE_DATABASE_URL runs, can be reached from here, and takes its"
    " user and password"
)


async def check_user_store(settings: Settings, url: str) -> list[Finding]:
    """Look at the database at `url`, and make a change in it that is taken back.

    Raises:
        SettingsError: the URL cannot be read.
    """
    if _is_missing(url):
        return [warning(_PART, "there is no user store yet", "the first start makes it")]
    try:
        engine = open_database(url, patience=_PATIENCE)
    except SettingsError:
        raise
    except StartupError as error:
        return [fault(_PART, error)]
    try:
        return await _look(settings, url, engine)
    except SettingsError:
        raise
    except StartupError as error:  # says itself what to do
        return [fault(_PART, error)]
    except StoreUnavailable as error:
        return [fault(_PART, error, _REACH)]
    finally:
        await engine.dispose()


def _is_missing(url: str) -> bool:
    """Tell whether it is a file that is not there."""
    return not is_postgresql(url) and not Path(make_url(url).database or "").exists()


async def _look(settings: Settings, url: str, engine: AsyncEngine) -> list[Finding]:
    with store_errors():
        async with engine.connect() as connection:
            is_new = await connection.run_sync(versions.is_new)
            is_behind = await connection.run_sync(versions.is_behind)
    if is_new:
        return [
            warning(_PART, "the database holds nothing of ours yet", "the first start fills it")
        ]
    if is_behind:
        return [
            warning(
                _PART, "the tables are of an older version than this program",
                "start the service, or run `openshow-auth migrate`",
            )
        ]  # fmt: skip
    await check_writable(engine)
    found = [ok(_PART, f"The user store ({engine.dialect.name}) answers, and takes changes")]
    if is_postgresql(url):
        await refuse_shared_sessions(url)
        found += await _room(settings, engine)
    return found


async def _room(settings: Settings, engine: AsyncEngine) -> list[Finding]:
    """Compare what one pod takes with what the server gives."""
    with store_errors():
        async with engine.connect() as connection:
            most = int((await connection.execute(text("SHOW max_connections"))).scalar_one())
    taken = settings.workers * (settings.database_pool + CONNECTIONS)
    if taken <= most:
        return []
    return [
        warning(
            _PART,
            f"this pod may take {taken} connections (SERVICE_WORKERS times SERVICE_DATABASE_POOL"
            f" and {CONNECTIONS} more), and the server has {most}",
            "lower SERVICE_DATABASE_POOL, or raise max_connections",
        )
    ]
