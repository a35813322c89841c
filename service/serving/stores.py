"""Makes both stores ready, before anything is served from them."""

import asyncio

from service.database.migration import migrate
from service.redis.node import Timing
from service.redis.requirements import check_server
from service.settings import Settings


def prepare(settings: Settings, *, is_alone: bool) -> None:
    """Check Redis, and bring the user store's tables up to date.

    `is_alone`: this process has started Redis itself, so of those that used it before none runs.

    Raises:
        StartupError: one of them cannot be used.
    """
    timing = Timing.in_milliseconds(
        settings.redis_connect_timeout_ms, settings.redis_reply_timeout_ms
    )
    asyncio.run(check_server(settings.redis_url, settings.issuer, timing))
    migrate(settings.database_url.reveal())
    if is_alone and settings.redis_rollback != "off":
        from service.composition.rollback import forget_processes

        asyncio.run(forget_processes(settings))
