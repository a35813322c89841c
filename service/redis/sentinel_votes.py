"""Asks one Sentinel whom it calls primary, over whatever connection there is."""

from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import ResponseError

from .election import Vote

Ask = Callable[..., Awaitable[Any]]
"""Sends a command to the Sentinel, a word for each argument, and returns its reply."""


class UnknownPrimary(LookupError):
    """The Sentinel knows no primary of this name."""


async def vote_of(ask: Ask, name: str) -> Vote:
    """Ask a Sentinel for the epoch that it is in, and for the server that it calls primary.

    One that does not let our user ask for the epoch still has a vote, of epoch 0.

    Raises:
        what `ask` raises; UnknownPrimary; LookupError, TypeError, ValueError: an answer that no
            Sentinel gives.
    """
    try:
        told: list[bytes] = await ask("SENTINEL", "MASTER", name)
    except ResponseError:
        told = [b"config-epoch", b"0"]
    # The fields still name the old one while the others learn of the new.
    place = await ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
    if place is None:
        raise UnknownPrimary
    host, port = place
    fields = dict(zip(told[::2], told[1::2], strict=True))
    same = (host, port) == (fields.get(b"ip"), fields.get(b"port"))
    run_id = fields.get(b"runid", b"").decode() if same else ""
    return Vote(int(fields[b"config-epoch"]), (host.decode(), int(port)), run_id)
