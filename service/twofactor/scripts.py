"""How the scripts of this package are called."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from service.keyspace.keys import EVENTS_KEPT, LONGEST_CHANGE, WATERMARK_LIFE, bucket
from service.keyspace.line import Argument
from service.keyspace.link import Link
from service.keyspace.scripts import Script
from service.sessions.client import Client

WATERMARK_MS = WATERMARK_LIFE // timedelta(milliseconds=1)
_LONGEST_CHANGE_MS = LONGEST_CHANGE // timedelta(milliseconds=1)


def script(name: str) -> Script:
    """The script in this file, after `prelude.lua`."""
    return Script.from_files(__package__, "prelude.lua", name)


async def call(
    link: Link,
    script_: Script,
    user_id: bytes,
    client: Client,
    keys: Sequence[bytes],
    *arguments: Argument,
) -> Any:
    """Call a script with what `prelude.lua` expects, then its own keys and arguments."""
    names = bucket(user_id)
    context = (EVENTS_KEPT, user_id.hex(), client.address_text, client.request_id)
    return await script_(
        link,
        (names.index + user_id, names.events, *keys),
        (*context, *arguments, _LONGEST_CHANGE_MS),
    )


_PUBLISH = script("publish.lua")

ChangeEvent = Literal["twoFA.disabled", "twoFA.recoveryCodeUsed", "twoFA.recoveryCodesRenewed"]


async def publish(
    link: Link, user_id: bytes, version: int | None, event: ChangeEvent, client: Client
) -> None:
    """Tell all pods that the user row is now at `version`, and note why.

    `None`: it goes on changing, so the pods are not told yet.
    """
    await call(link, _PUBLISH, user_id, client, [], "" if version is None else version, event)
