"""The actions of `openshow-auth keys ...`. docs/keys.md has the run-books."""

import argparse
import asyncio
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts.second_factors import SecondFactors
from service.cli.key_status import describe
from service.cli.progress import Progress
from service.clock import milliseconds, moment, system_clock
from service.daemon_thread import run_in_daemon_thread
from service.database.engine import open_database
from service.embedded.client import server_url
from service.errors import (
    KeyRefused,
    KeyServiceUnavailable,
    SealBroken,
    StartupError,
    StoreUnavailable,
)
from service.keyring import signing
from service.keyring.data_key_rotation import DataKeyRotation
from service.keyring.envelope import Keyring
from service.keyring.kms.provider import KeyServices
from service.keyring.kms.selection import open_key_services
from service.keyring.records import SKEW, KeyLives, current_epoch
from service.keyring.store import KeyStore
from service.keyring.token_key_rotation import DELAY, TokenKeyRotation
from service.keyring.unsealing import UnsealedKeys
from service.keyring.watch import POLL
from service.redis.client import RedisClient
from service.redis.probe import refuse_without_rights
from service.settings import Settings
from service.twofactor.resealing import Resealing

_PATIENCE = timedelta(seconds=5)
"""The timeout for a connection to the database; `SERVICE_DATABASE_TIMEOUT_MS` if that is more."""

_WORK = timedelta(hours=1)
"""The timeout for what is done on a connection: all accounts may have to be read."""


class _Keys:
    """The stores that the commands work on: one database, its key service, its Redis."""

    def __init__(self, settings: Settings, engine: AsyncEngine) -> None:
        self.settings = settings
        self.services: KeyServices = open_key_services(settings, os.environ)
        self.store = KeyStore(engine)
        self.factors = SecondFactors(engine)
        self.epochs = DataKeyRotation(engine, self.services, system_clock)
        self.rotation = TokenKeyRotation(engine, system_clock)
        self.lives = KeyLives(access=settings.access_ttl, refresh=settings.mac_keys_matter)

    async def open(self) -> UnsealedKeys:
        """Open all keys. Never makes any: that is for the first start."""
        if not (await self.store.read()).data_keys:
            raise KeyRefused("this database has no keys yet: start the service once")
        return await self.store.open(self.services, system_clock, make=False)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Carry out `options.action` and return the exit code.

    Raises:
        StartupError: it could not be done; the message says why.
    """
    try:
        return asyncio.run(_carry_out(settings, options))
    except (KeyServiceUnavailable, StoreUnavailable, KeyRefused, SealBroken) as error:
        raise StartupError(str(error)) from None


async def _carry_out(settings: Settings, options: argparse.Namespace) -> int:
    # A command may scan what a request never does, and nobody waits for it who would give up.
    patience = max(_PATIENCE, timedelta(milliseconds=settings.database_timeout_ms))
    engine = open_database(settings.database_url.reveal(), patience=patience, work=_WORK)
    try:
        return await _ACTIONS[options.action](_Keys(settings, engine), options)
    finally:
        await engine.dispose()


async def _test(keys: _Keys, _: argparse.Namespace) -> int:
    services, data_key = keys.services, secrets.token_bytes(32)
    name, aad = str(services), b"openshow-auth test"
    began = time.perf_counter()
    wrapped = await run_in_daemon_thread(services.wrap, data_key, aad)
    middle = time.perf_counter()
    if await run_in_daemon_thread(services.unwrap, wrapped, aad) != data_key:
        raise StartupError(f"{name} does not give back what it has wrapped")
    ended = time.perf_counter()
    print(f"{name} wraps in {_ms(middle - began)} and unwraps in {_ms(ended - middle)}.")
    try:
        await run_in_daemon_thread(services.unwrap, wrapped, b"openshow-auth other")
    except SealBroken:
        print("It refuses a key that was wrapped for something else.")
    else:
        raise StartupError(f"{name} does not look at what a key was wrapped for: do not use it")
    stored = await keys.store.read()
    if not stored.data_keys:
        print("This database has no keys yet.")
        return 0
    _all_of(await keys.open())
    epochs = ", ".join(str(key.epoch) for key in stored.data_keys)
    print(f"It opens all keys of this database: epochs {epochs}.")
    return 0


async def _status(keys: _Keys, _: argparse.Namespace) -> int:
    # Without the key service: it may be what the operator looks into.
    stored = await keys.store.read()
    counts = await keys.factors.epochs()
    print(describe(stored, counts, system_clock(), keys.lives))
    return 0


async def _rotate(keys: _Keys, options: argparse.Namespace) -> int:
    opened = await keys.open()  # a key service that opens nothing must not wrap what is new
    if options.key != "data":
        key_id = await keys.rotation.publish(options.key, opened)
        then = system_clock() + DELAY
        print(f"The {options.key} key {key_id} is published, in use from {then:%H:%M:%S} UTC on.")
        return 0
    epoch = await keys.epochs.begin()
    begins = (await keys.store.read()).data_keys[-1].active_from
    print(f"Epoch {epoch} is published and seals from {moment(begins):%H:%M:%S} UTC on.")
    print("Then run `openshow-auth keys rewrap`, and later `openshow-auth keys retire`.")
    return 0


async def _rewrap(keys: _Keys, _: argparse.Namespace) -> int:
    # First: a setting that is wrong must stop it before any change.
    async with aclosing(_redis(keys.settings)) as redis:
        return await _rewrap_all(keys, redis)


async def _rewrap_all(keys: _Keys, redis: RedisClient) -> int:
    opened = _all_of(await keys.open())
    newest = opened.stored.data_keys[-1]
    waiting = newest.active_from - milliseconds(system_clock())
    if waiting > 0:
        wait = f"Waiting {waiting / 1000:.0f} s until epoch {newest.epoch} is in use everywhere."
        print(wait, file=sys.stderr)
        await asyncio.sleep(waiting / 1000)
    count = await keys.epochs.rewrap_data_keys(opened)
    print(f"Data keys wrapped anew by {keys.services}: {count}.")
    opened = _all_of(await keys.open())
    print(f"Keys of the service sealed anew: {await keys.epochs.reseal_keys(opened)}.")
    epoch = current_epoch(opened.stored.data_keys, milliseconds(system_clock()))
    total = sum(n for under, n in (await keys.factors.epochs()).items() if under != epoch)
    with Progress("Secrets sealed anew", total) as progress:
        resealing = Resealing(keys.factors, Keyring(opened.data_keys, epoch), progress.advance)
        await resealing.reseal_enabled()
    await _reseal_pending(keys.settings, redis, resealing)
    if resealing.broken:
        raise KeyRefused(f"{resealing.broken} secrets do not open and were left as they are")
    return 0


def _redis(settings: Settings) -> RedisClient:
    url = settings.redis_url or server_url(settings.data_dir)
    return RedisClient(url, check_connection=refuse_without_rights)


async def _reseal_pending(settings: Settings, redis: RedisClient, resealing: Resealing) -> None:
    life = int(settings.enrollment_ttl.total_seconds())
    try:
        print(f"Pending enrolments sealed anew: {await resealing.reseal_pending(redis)}.")
    except StoreUnavailable as error:
        left = f"openshow-auth: pending enrolments are left to end within {life} s: {error}"
        print(left, file=sys.stderr)


async def _retire(keys: _Keys, options: argparse.Namespace) -> int:
    stored = await keys.store.read()
    if not stored.data_keys:
        raise KeyRefused("this database has no keys yet")
    current = current_epoch(stored.data_keys, milliseconds(system_clock()))
    given = options.epoch
    old = [key.epoch for key in stored.data_keys if key.epoch < current]
    if given is None and not old:
        raise KeyRefused(f"there is no epoch before {current}")
    opens = given != stored.data_keys[-1].epoch or await _opens_newest(keys)
    for epoch in old if given is None else [given]:
        await keys.epochs.retire(epoch, keys.settings.seals_matter + SKEW, opens=opens)
        print(f"Epoch {epoch} is gone: what it has sealed cannot be opened by anybody.")
    return 0


async def _opens_newest(keys: _Keys) -> bool:
    """Tell whether the key service opens the newest epoch.

    Raises:
        KeyServiceUnavailable: it opens no other either, so nothing is wrong with that one.
    """
    return not (await keys.open()).refused


def _all_of(opened: UnsealedKeys) -> UnsealedKeys:
    for epoch, error in opened.refused.items():
        raise KeyRefused(
            f"epoch {epoch} does not open: {error}; if nothing is sealed under it,"
            f" `openshow-auth keys retire {epoch}` drops it"
        )
    return opened


async def _revoke(keys: _Keys, options: argparse.Namespace) -> int:
    opened = await keys.open()
    by_kid = {
        signing.thumbprint(signing.public_from_der(key.public)): key.id
        for key in opened.stored.sealed_keys[options.key]
        if key.public
    }
    given = options.id
    plain = given.isascii() and given.isdecimal() and len(given) < 10
    key_id = by_kid.get(given, int(given) if plain else 0)
    if key_id not in {key.id for key in opened.stored.sealed_keys[options.key]}:
        raise KeyRefused(
            f"there is no {options.key} key {given!r}: see `openshow-auth keys status`"
        )
    fresh = await keys.rotation.revoke(options.key, key_id, opened)
    print(f"The {options.key} key {key_id} is gone; all processes know within {POLL.seconds} s.")
    if fresh:
        print(f"The key {fresh} has taken its place.")
    return 0


def _ms(seconds: float) -> str:
    return f"{timedelta(seconds=seconds) / timedelta(milliseconds=1):.0f} ms"


_ACTIONS: dict[str, Callable[[_Keys, argparse.Namespace], Awaitable[int]]] = {
    "test": _test,
    "status": _status,
    "rotate": _rotate,
    "rewrap": _rewrap,
    "retire": _retire,
    "revoke": _revoke,
}
