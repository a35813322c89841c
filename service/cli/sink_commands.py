"""Carries out `openshow-auth events verify`, `replay` and `webhooks`. See docs/sinks.md."""

import argparse
import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service.cli import account_texts as texts
from service.cli.account_command import AccountCommand
from service.composition.shared import create_redis_client
from service.composition.sinks import create_sinks
from service.database.engine import open_database
from service.embedded.client import server_url
from service.errors import InvalidField, KeyRefused, SettingsError, StartupError, StoreUnavailable
from service.events.event import ALL_STREAMS, read_entries, stream_of
from service.events.reading import entry_before, position_of
from service.redis.client import RedisClient
from service.settings import Settings
from service.settings.paths import open_file
from service.sinks.batch import line_of
from service.sinks.signatures import WebhookKeys, is_signed
from service.sinks.sql import batches_of
from service.sinks.state import Progress, SinkState
from service.sinks.verifying import Copy, Report
from service.sinks.webhooks import webhook_name

_AT_ONCE = 1_000


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Carry out `options.action` and return the exit code.

    Raises:
        StartupError: it could not be done; the message says why.
    """
    try:
        return asyncio.run(_carry_out(settings, options))
    except (InvalidField, StoreUnavailable, KeyRefused) as error:
        raise StartupError(str(error)) from None


async def _carry_out(settings: Settings, options: argparse.Namespace) -> int:
    async with _opened(settings, options) as (command, engine, redis):
        match options.action:
            case "events verify":
                return await _verify(command, engine, redis)
            case "events replay":
                return await _replay(command, engine, redis)
        return await _webhooks(command)


@asynccontextmanager
async def _opened(
    settings: Settings, options: argparse.Namespace
) -> AsyncIterator[tuple[AccountCommand, AsyncEngine, RedisClient]]:
    url = settings.redis_url or server_url(settings.data_dir)
    redis = create_redis_client(msgspec.structs.replace(settings, redis_url=url))
    engine = open_database(settings.database_url.reveal())
    try:
        yield AccountCommand(settings, options, engine, redis), engine, redis
    finally:
        await redis.aclose()
        await engine.dispose()


async def _verify(command: AccountCommand, engine: AsyncEngine, redis: RedisClient) -> int:
    """Check a copy against itself, its signatures, and what Redis still has."""
    options = command.options
    await command.open_keys()
    keys = command.keys.now.signing

    def verifier(kid: str, signature: bytes, digest: bytes) -> bool | None:
        public = keys.public(kid)
        return None if public is None else is_signed(digest, public, signature)

    copy = Copy()
    if options.files:
        for name in options.files:
            copy.add(name, lines_of(Path(name)))
    elif command.settings.sink_sql:
        for bucket in ALL_STREAMS:
            copy.add("audit", await batches_of(engine, bucket))
    else:
        raise SettingsError("name files to verify, or set SERVICE_SINK_SQL for the table `audit`")
    state = SinkState(redis, "file" if options.files else "sql")
    noted = {bucket: await state.read(bucket) for bucket in ALL_STREAMS}
    report = copy.check(noted, verifier)
    await compare(redis, copy, noted)
    return _tell(command, report)


async def compare(redis: RedisClient, copy: Copy, noted: dict[int, Progress]) -> None:
    """Look for events that had arrived and that the copy lacks, and for such as Redis never had."""
    for bucket, progress in noted.items():
        if not progress.number:
            continue
        stream = f"stream {bucket:02x}"
        async for lines in _entries(redis, bucket, "-", progress.cursor):
            if missing := copy.missing(bucket, lines):
                copy.report.faults.append(
                    f"{stream}: {len(missing)} events that Redis has are not in it, or were changed"
                )
        newer = [
            line
            async for lines in _entries(redis, bucket, f"({progress.cursor}", "+")
            for line in lines
        ]
        if strange := copy.put_in(bucket, newer):
            copy.report.faults.append(
                f"{stream}: {len(strange)} events behind batch {progress.number}, the last one "
                "noted, were put in, or Redis has lost them"
            )


async def _entries(
    redis: RedisClient, bucket: int, after: str, until: str
) -> AsyncIterator[list[bytes]]:
    """Read the events between two entries of a stream as lines, some at once."""
    while True:
        reply = await redis.execute("XRANGE", stream_of(bucket), after, until, "COUNT", _AT_ONCE)
        events = read_entries(bucket, reply)
        yield [line_of(event) for event in events]
        if len(events) < _AT_ONCE:
            return
        after = f"({events[-1].position.entry}"


def _tell(command: AccountCommand, report: Report) -> int:
    notes = list(dict.fromkeys(report.notes))
    document = {
        "events": report.events,
        "batches": report.batches,
        "signed": report.signed,
        "faults": report.faults,
        "notes": notes,
    }
    lines = [f"{report.events:,} events in {report.batches:,} batches, {report.signed:,} signed."]
    lines += [f"note: {note}" for note in notes]
    lines += [f"FAULT: {fault}" for fault in report.faults]
    command.tell(document, *lines, *([] if report.faults else ["Nothing is missing or changed."]))
    return 1 if report.faults else 0


def lines_of(path: Path) -> list[bytes]:
    """Read the lines of a file, or of a pipe; one that nobody writes to has none.

    Raises:
        StartupError: it cannot be read, or is a device, which may never end.
    """
    try:
        with open_file(path) as file:
            kind = os.fstat(file.fileno()).st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISFIFO(kind)):
                raise OSError(0, "Not a file")
            return file.read().splitlines()
    except OSError as error:
        raise StartupError(
            f"{path}: {error.strerror}; name files that SERVICE_SINK_FILE has written"
        ) from None


async def _replay(command: AccountCommand, engine: AsyncEngine, redis: RedisClient) -> int:
    """Have a sink get again what is newer than an event."""
    options = command.options
    names = [sink.name for sink in create_sinks(command.settings, engine, command.keys)]
    names += [party.sink for party in await command.does.relying_parties.all()]
    if options.sink not in names:
        there = ", ".join(names) or "none"
        raise StartupError(f"there is no such sink; the settings name {there}")
    start = position_of(options.after)
    if not options.yes:
        return command.dry_run({"sink": options.sink}, f"{options.sink} gets all after it again")
    state = SinkState(redis, options.sink)
    for bucket in ALL_STREAMS:
        await state.rewind(bucket, entry_before(start, bucket))
    return command.tell(
        {"sink": options.sink, "changed": True},
        f"{options.sink} gets all that is kept after {start} again.",
    )


async def _webhooks(command: AccountCommand) -> int:
    """Print what each receiver needs to verify what it gets."""
    await command.open_keys()
    key = command.keys.now.email_digest_key
    rows = []
    for url in command.settings.sink_webhooks:
        name, keys = webhook_name(url), WebhookKeys(key, url)
        rows.append({"sink": name, "url": url, "secret": keys.secret, "publicKey": keys.public_key})
    lines = [line for row in rows for line in (*texts.table([*row.items()]), "")]
    return command.tell({"webhooks": rows}, *(lines or ["SERVICE_SINK_WEBHOOKS names none."]))
