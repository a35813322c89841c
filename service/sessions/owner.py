"""What the user store says of the owner of a session: whether the session still counts."""

import asyncio
from collections.abc import Callable

import msgspec


class Owner(msgspec.Struct, frozen=True):
    """What the user store says of the owner of a session; as good as it can say at the moment.

    `sessions_from`: the version of the row from which on sessions count. `is_known`: whether the
    user store has answered.
    """

    exists: bool = True
    has_second_factor: bool = True
    disabled: bool = False
    sessions_from: int = 0
    is_known: bool = False


Owners = Callable[[bytes], "asyncio.Future[Owner]"]
"""Asks the user store about a user. Never fails: of a store that is away, nothing is known."""


def unknown_owner(user_id: bytes) -> "asyncio.Future[Owner]":
    known = asyncio.get_running_loop().create_future()
    known.set_result(Owner())
    return known
