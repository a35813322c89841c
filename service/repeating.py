"""Work that a process does again and again in the background, whatever goes wrong with it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from service.errors import StoreUnavailable

log = structlog.get_logger()


async def repeat(event: str, work: Callable[[], Awaitable[object]], pause: float) -> NoReturn:
    """Do some work, with a pause of so many seconds after each time, until it is cancelled.

    A defect is logged as this event. That a store is away is not: readiness tells of its parts.
    """
    while True:
        try:
            await work()
        except StoreUnavailable:
            pass
        except Exception as error:  # a defect must not end the task: nobody would start it again
            log.error(event, exc_info=error)
        await asyncio.sleep(pause)
