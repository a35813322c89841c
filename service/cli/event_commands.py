"""Carries out `openshow-auth events list` and `follow`. See docs/events.md."""

import argparse
import asyncio
import sys
from datetime import timedelta

from service.accounts import emails
from service.accounts.users import Users
from service.cli import account_texts as texts
from service.cli.retrying import tell_of_retry
from service.database.engine import open_database
from service.embedded.client import server_url
from service.errors import InvalidField, StartupError, StoreUnavailable, UserNotFound
from service.events.event import AuditEvent
from service.events.reading import EventFilter, EventReader
from service.operators.lookup import user_id_of
from service.redis.client import RedisClient
from service.settings import Settings


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Carry out `options.action` and return the exit code.

    Raises:
        StartupError: it could not be done; the message says why.
    """
    try:
        return asyncio.run(_carry_out(settings, options))
    except KeyboardInterrupt:  # how following ends
        return 0
    except (UserNotFound, InvalidField, StoreUnavailable) as error:
        raise StartupError(str(error)) from None


async def _carry_out(settings: Settings, options: argparse.Namespace) -> int:
    wanted = EventFilter(await _user(settings, options.user), options.type)
    # No check of rights, and of whose feed it is: whoever reads events may not even ask.
    redis = RedisClient(settings.redis_url or server_url(settings.data_dir))
    try:
        reader = EventReader(redis)
        if options.action == "events list":
            return await _list(reader, wanted, options)
        return await _follow(reader, wanted, options)
    finally:
        await redis.aclose()


async def _user(settings: Settings, named: str | None) -> bytes | None:
    """Find whose events are wanted. The user store is asked for addresses only."""
    if named is None:
        return None
    if user_id := user_id_of(named):
        return user_id
    engine = open_database(settings.database_url.reveal(), patience=timedelta(seconds=5))
    try:
        found = await Users(engine).find_by_email(emails.lookup_key(named))
    finally:
        await engine.dispose()
    if found is None:
        raise UserNotFound
    return found.user.id


async def _list(reader: EventReader, wanted: EventFilter, options: argparse.Namespace) -> int:
    found: list[AuditEvent] = []
    after, limit = options.after, options.limit
    while True:
        page = await reader.page(
            user=wanted.user, type=wanted.type, after=after, limit=limit - len(found)
        )
        found += page.events
        after = page.next
        if after is None or len(found) == limit:
            break
    if options.json:
        document = {"events": [event.document() for event in found], "next": after}
        print(texts.as_json(document))
        return 0
    for event in found:
        print(line_of(event))
    if after:
        print(f"more: --after {after}", file=sys.stderr)
    return 0


async def _follow(reader: EventReader, wanted: EventFilter, options: argparse.Namespace) -> int:
    async for batch in reader.follow(wanted, options.after, tell_of_retry):
        for event in batch:
            print(texts.json_line(event.document()) if options.json else line_of(event))
        sys.stdout.flush()
        if getattr(sys.stdout, "failed", False):  # nobody reads it any more
            break
    return 0


def line_of(event: AuditEvent) -> str:
    """Say in one line what has happened. What clients have sent steers no terminal."""
    rest = {name: value for name, value in event.fields.items() if name not in ("type", "user")}
    said = " ".join(f"{name}={texts.plain(value)}" for name, value in rest.items() if value)
    kind, user = texts.plain(event.type), texts.plain(event.user or "-")
    return f"{event.at}  {event.id}  {kind}  {user}  {said}".rstrip()
