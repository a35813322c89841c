"""Checks the keys: whether the key service opens them, and whether they are turned over."""

import os
from datetime import timedelta

from service.cli.doctor.findings import Finding, fault, ok, warning
from service.clock import system_clock
from service.daemon_thread import run_in_daemon_thread
from service.database.engine import open_database
from service.errors import KeyServiceUnavailable, StartupError, StoreUnavailable
from service.keyring.kms.selection import open_key_services
from service.keyring.records import ROTATED, KeyLives, KeyRecords, ages
from service.keyring.store import KeyStore
from service.keyring.unsealing import unseal_all
from service.settings import Settings

_PATIENCE = timedelta(seconds=5)
_LATE = timedelta(days=1)
"""How long past SERVICE_KEY_AGE a key may be: its successor is published, and used later."""


async def check_keys(settings: Settings, url: str) -> list[Finding]:
    """Have the key service open all keys of the database at `url`. None is made.

    Raises:
        SettingsError: a setting of a key service is missing or wrong.
    """
    services = open_key_services(settings, os.environ)
    engine = open_database(url, patience=_PATIENCE)
    try:
        stored = await KeyStore(engine).read()
        if not stored.data_keys:
            return [warning("keys", "this database has no keys yet", "the first start makes them")]
        opened = await run_in_daemon_thread(unseal_all, services, stored)
    except KeyServiceUnavailable as error:
        advice = f"mend the key service ({settings.kms}); `openshow-auth keys test` tries it"
        return [fault("keys", error, advice)]
    except StartupError as error:  # says itself what to do
        return [fault("keys", error)]
    except StoreUnavailable:  # the user store's own check tells
        return []
    finally:
        await engine.dispose()
    found = [
        warning(
            "keys", f"the data key of epoch {epoch} does not open: {error}",
            "`openshow-auth keys status`; docs/keys.md says how to retire it",
        )
        for epoch, error in opened.refused.items()
    ]  # fmt: skip
    found += _old(settings, stored)
    return found or [ok("keys", f"The key service ({settings.kms}) opens all keys")]


def _old(settings: Settings, stored: KeyRecords) -> list[Finding]:
    lives = KeyLives(access=settings.access_ttl, refresh=settings.refresh_ttl, age=settings.key_age)
    latest = (settings.key_age + _LATE).total_seconds()
    return [
        warning(
            "keys", f"the {use} key is {age / 86_400:.0f} days old, older than SERVICE_KEY_AGE",
            f"a service that runs turns it over; `openshow-auth keys rotate {use}` does it now",
        )
        for use, age in ages(stored, system_clock(), lives).items()
        if use in ROTATED and age > latest
    ]  # fmt: skip
