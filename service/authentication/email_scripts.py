"""The script by which pods hear that a row has changed, where no session ends with it."""

from typing import Any

from service.sessions.user_scripts import user_script


@user_script(
    "sessions/row_version.lua",
    text="""
version_state() -- that it can be read, before anything is written
emit(event)
publish(row_version)
""",
)
def publish_row(*, row_version: int, event: str) -> Any:
    """Publish the version of a row, and note why."""
