"""The scripts of this package: each of the files that it needs, with its keys and arguments."""

from typing import Any

from service.redis.scripts import Key, script
from service.sessions.user_scripts import CONSTANTS, user_script


@user_script("sessions/row_version.lua", "operators/note.lua")
def note(*, event: str, reason: str, by: str, row_version: int | str, made: int) -> Any:
    """Note a change of an account, and publish the version of its row."""


@script(
    "sessions/everybody.lua",
    "sessions/others.lua",
    "operators/list.lua",
    constants=CONSTANTS,
    acknowledged=False,
)
def list_sessions(*, index: Key, tag: bytes) -> Any:
    """List the sessions of a user."""
