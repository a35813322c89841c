"""What the user store says of the owner of a session: whether they are still there."""

import asyncio
from collections.abc import Callable

import msgspec


class Owner(msgspec.Struct, frozen=True):
    """What the user store says of the owner of a session; as good as it can say at the moment."""

    exists: bool = True
    has_second_factor: bool = True


Owners = Callable[[bytes], "asyncio.Future[Owner]"]
"""Asks the user store about a user. Never fails: of a store that is away, nothing is known."""


def unknown_owner(user_id: bytes) -> "asyncio.Future[Owner]":
    known = asyncio.get_running_loop().create_future()
    known.set_result(Owner())
    return known
