"""Carries out `openshow-auth api-keys ...`."""

import re
from collections.abc import Sequence

from service.api_keys.keys import ApiKey
from service.cli import account_texts as texts
from service.cli.account_command import AccountCommand
from service.clock import system_clock, timestamp
from service.errors import StartupError
from service.operators import documents

_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)


async def create(command: AccountCommand) -> int:
    """Make a key, and print it: alone on stdout, so that `KEY=$(...)` holds it and nothing else."""
    options, request = command.options, command.request
    made = await command.does.api_keys.create(
        options.name,
        options.scopes,
        options.expires,
        request.origin,
        by=request.by,
        reason=request.reason,
    )
    until = f" until {timestamp(made.key.expires_at)}" if made.key.expires_at else ""
    command.remark(
        f"The API key {made.key.id.hex()} ({texts.plain(made.key.name)}) is good{until}. It is not"
        " shown again."
    )
    return command.tell({"apiKey": documents.api_key(made.key), "key": made.text}, made.text)


async def list_keys(command: AccountCommand) -> int:
    """List the keys, the oldest first."""
    keys = await command.does.api_keys.all()
    return command.tell({"apiKeys": [documents.api_key(each) for each in keys]}, *_lines(keys))


async def revoke(command: AccountCommand) -> int:
    """Revoke a key."""
    named = command.options.key.lower()
    if not _ID.fullmatch(named):
        raise StartupError("that is no id of an API key: it has 16 hex digits")
    key = await command.does.api_keys.find(bytes.fromhex(named))
    request = command.request
    changed = await command.does.api_keys.revoke(
        key, request.origin, by=request.by, reason=request.reason
    )
    done = "is revoked, and good nowhere in two seconds" if changed else "was revoked before"
    return command.tell(
        {"apiKey": named, "changed": changed},
        f"The API key {named} ({texts.plain(key.name)}) {done}.",
    )


def _lines(keys: Sequence[ApiKey]) -> list[str]:
    if not keys:
        return ["There are no API keys."]
    now = system_clock()
    rows = [
        (
            key.id.hex(),
            texts.plain(key.name),
            ",".join(key.scopes),
            "good" if key.is_good_at(now) else "revoked" if key.revoked_at else "expired",
            documents.at(key.expires_at) or "never",
            documents.at(key.last_used_at) or "never",
        )
        for key in keys
    ]
    return texts.table([("id", "name", "scopes", "state", "expires", "last used"), *rows])
