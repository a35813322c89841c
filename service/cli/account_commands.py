"""Carries out `openshow-auth users ...`, `sessions ...`, `cutoff`, `api-keys ...`, and others.

See docs/operators.md.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from service.accounts.user_rows import User
from service.authentication.account_limits import AccountLimits
from service.cli import (
    account_texts as texts,
    api_key_commands as api_keys,
    party_commands as parties,
)
from service.cli.account_command import AccountCommand
from service.cli.explain_command import explain
from service.cli.session_commands import cut_off, end_session, list_sessions
from service.clock import timestamp
from service.composition.mail import create_links
from service.composition.rollback import opened_redis
from service.database.engine import open_database
from service.errors import (
    ApiKeyNotFound,
    KeyRefused,
    KeyServiceUnavailable,
    RelyingPartyRefused,
    SealBroken,
    StartupError,
    StoreUnavailable,
    UserNotFound,
)
from service.operators.lookup import user_id_of
from service.settings import Settings

_PATIENCE = timedelta(seconds=5)
"""The timeout for the database; `SERVICE_DATABASE_TIMEOUT_MS` if that is more."""


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Carry out `options.action` and return the exit code.

    Raises:
        StartupError: it could not be done; the message says why.
    """
    if options.action == "users explain":  # also where stores are away
        opened = partial(_opened, settings, options, fenced=False)
        print(asyncio.run(explain(settings, opened, as_json=options.json)))
        return 0
    try:
        return asyncio.run(_carry_out(settings, options))
    except (UserNotFound, ApiKeyNotFound, RelyingPartyRefused) as error:
        raise StartupError(str(error)) from None
    except (StoreUnavailable, KeyRefused, SealBroken) as error:
        raise StartupError(_advice(settings, options, str(error))) from None


def _advice(settings: Settings, options: argparse.Namespace, reason: str) -> str:
    """Say what to do about a store that is away. All commands can be repeated."""
    if not settings.redis_url and reason == "Redis cannot be reached":
        reason += ", which runs with the service if SERVICE_REDIS_URL is not set"
    return f"{reason}; run the same command again when that is mended"


@asynccontextmanager
async def _opened(
    settings: Settings, options: argparse.Namespace, *, fenced: bool = True
) -> AsyncIterator[AccountCommand]:
    """Open the stores. `fenced`: buckets in which Redis has gone back are left alone."""
    patience = max(_PATIENCE, timedelta(milliseconds=settings.database_timeout_ms))
    engine = open_database(settings.database_url.reveal(), patience=patience)
    try:
        async with opened_redis(settings, fenced=fenced) as redis:
            yield AccountCommand(settings, options, engine, redis)
    finally:
        await engine.dispose()


async def _carry_out(settings: Settings, options: argparse.Namespace) -> int:
    async with _opened(settings, options) as command:
        code = await _ACTIONS[options.action](command)
        await command.does.notices.drain()
        return code


async def _find(command: AccountCommand) -> int:
    user = await command.user()
    return command.tell({"users": [texts.account(user)], "next": None}, texts.account_line(user))


async def _show(command: AccountCommand) -> int:
    user = await command.user()
    limits: AccountLimits | None = command.does.limits
    try:
        await command.open_keys()
    except (KeyServiceUnavailable, KeyRefused, StartupError) as error:
        print(f"openshow-auth: the limits are not known: {error}", file=sys.stderr)
        limits = None
    details = await command.does.lookup.details(user, limits)
    return command.tell(texts.details(details), *texts.lines_of(details))


async def _export(command: AccountCommand) -> int:
    user = await command.user()
    sessions = await command.does.sessions.of(user)
    request = command.request
    export = await command.does.exports.export(
        user.id, sessions, request.origin, by=request.by, reason=request.reason
    )
    if export is None:
        raise UserNotFound
    print(texts.as_json(texts.export(export)))
    return 0


async def _disable(command: AccountCommand) -> int:
    user = await command.user()
    if not command.options.yes:
        living = len(await command.does.sessions.of(user))
        return command.dry_run(
            {"user": user.id.hex(), "sessions": living},
            f"{texts.name(user)} is disabled, and {texts.ending(living)}",
        )
    changed = await command.does.accounts.disable(user, command.request)
    return _told(
        command, user, changed, "is disabled, and has no session any more", "was disabled already"
    )


async def _enable(command: AccountCommand) -> int:
    user = await command.user()
    changed = await command.does.accounts.enable(user, command.request)
    return _told(command, user, changed, "can log in again", "was not disabled")


async def _unlock(command: AccountCommand) -> int:
    user = await command.user()
    await command.open_keys()
    changed = await command.does.accounts.unlock(user, command.does.limits, command.request)
    return _told(command, user, changed, "is not locked any more", "had reached no limit")


async def _log_out(command: AccountCommand) -> int:
    user = await command.user()
    if not command.options.yes:
        living = len(await command.does.sessions.of(user))
        return command.dry_run(
            {"user": user.id.hex(), "sessions": living},
            f"of {texts.name(user)} {texts.ending(living)}",
        )
    ended = await command.does.sessions.end_all(user.id, command.request)
    return command.tell(
        {"user": user.id.hex(), "revoked": ended},
        f"{texts.count(ended)} of {texts.name(user)} ended.",
    )


async def _reset_second_factor(command: AccountCommand) -> int:
    user = await command.user()
    if not command.options.yes:
        living = len(await command.does.sessions.of(user))
        has = "loses its second factor" if user.two_fa_enabled else "has no second factor to lose"
        return command.dry_run(
            {"user": user.id.hex(), "twoFA": user.two_fa_enabled, "sessions": living},
            f"{texts.name(user)} {has}"
            + (f", and {texts.ending(living)}" if user.two_fa_enabled else ""),
        )
    changed = await command.does.accounts.reset_second_factor(user, command.request)
    done = "has no second factor and no session any more"
    return _told(command, user, changed, done, "had no second factor")


async def _reset_password(command: AccountCommand) -> int:
    user = await command.user()
    await command.open_keys()
    request = command.request
    links = command.does.reset_links
    if links.are_mailed:
        ends = await links.mail(user, request.origin, reason=request.reason, by=request.by)
        if ends is None:
            raise StartupError("no mail was sent: too many wait to be sent")
        until = timestamp(ends)
        return command.tell(
            {"user": user.id.hex(), "mailed": True, "expiresAt": until},
            f"A link was mailed to {texts.name(user)}, by which they can set a new password, once, "
            f"until {until}. Links from before are void.",
        )
    issued = await links.issue(user, request.origin, reason=request.reason, by=request.by)
    link = create_links(command.settings).to("reset", issued.token)
    until = timestamp(issued.expires_at)
    return command.tell(
        {"user": user.id.hex(), "link": link, "expiresAt": until},
        link,
        f"By this link {texts.name(user)} can set a new password, once, until {until}. "
        "Links from before are void.",
    )


async def _delete(command: AccountCommand) -> int:
    user_id = user_id_of(command.options.user)
    if user_id is None or not command.options.yes:
        user = await command.user()
        user_id = user.id
        if not command.options.yes:
            living = len(await command.does.sessions.of(user))
            return command.dry_run(
                {"user": user_id.hex(), "sessions": living},
                f"{texts.name(user)} is deleted for good, with {texts.count(living)}",
            )
    await command.does.accounts.delete(user_id, command.request)
    return command.tell(
        {"user": user_id.hex(), "changed": True},
        f"{user_id.hex()} is deleted, with all that belonged to it but its events.",
    )


def _told(command: AccountCommand, user: User, changed: bool, done: str, already: str) -> int:
    line = f"{texts.name(user)} {done if changed else already}."
    return command.tell({"user": user.id.hex(), "changed": changed}, line)


_ACTIONS: dict[str, Callable[[AccountCommand], Awaitable[int]]] = {
    "users find": _find,
    "users show": _show,
    "users export": _export,
    "users disable": _disable,
    "users enable": _enable,
    "users unlock": _unlock,
    "users logout": _log_out,
    "users reset-2fa": _reset_second_factor,
    "users reset-password": _reset_password,
    "users delete": _delete,
    "sessions list": list_sessions,
    "sessions end": end_session,
    "cutoff": cut_off,
    "api-keys create": api_keys.create,
    "api-keys list": api_keys.list_keys,
    "api-keys revoke": api_keys.revoke,
    "relying-parties create": parties.create,
    "relying-parties list": parties.list_parties,
    "relying-parties remove": parties.remove,
}
