"""The script by which pods hear that the identities of an account have changed."""

from typing import Any, Literal

from service.redis.client import RedisClient
from service.sessions.origin import RequestOrigin
from service.sessions.user_scripts import user_script


@user_script("sessions/row_version.lua", "authentication/identities.lua")
def _publish(*, row_version: int, event: str, provider: str) -> Any:
    """Publish the version of the row, and note why it has changed."""


async def publish(
    redis: RedisClient,
    user_id: bytes,
    origin: RequestOrigin,
    version: int,
    event: Literal["identity.linked", "identity.unlinked"],
    provider: str,
) -> None:
    """Tell all pods that the user row is now at `version`, and note why."""
    await _publish(redis, user_id, origin, row_version=version, event=event, provider=provider)
