"""What a start waits for, such that a signal ends it: a store that hangs may take half a minute."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any, TypeVar

from service.serving.signals import StartStopped

_LOOK_EVERY = 0.05
_PATIENCE = 2.5
"""Seconds that work which was cancelled may take to end."""

Result = TypeVar("Result")


def run_unless_stopped(
    work: Coroutine[Any, Any, Result], stop_asked: Callable[[], bool], awaited: str
) -> Result:
    """Run a part of a start, and return its result, as `asyncio.run` does.

    Raises:
        StartStopped: it was asked to stop before it had ended. `awaited`: what it has waited for,
            in words. Whatever hangs is left as it is.
    """
    runner = asyncio.Runner()
    with ExitStack() as cleanup:
        cleanup.callback(runner.close)
        try:
            return runner.run(_watched(work, stop_asked, awaited))
        except StartStopped:
            cleanup.pop_all()  # it would wait for what hangs, as for a thread that asks DNS
            raise


async def _watched(
    work: Coroutine[Any, Any, Result], stop_asked: Callable[[], bool], awaited: str
) -> Result:
    task = asyncio.create_task(work)
    while not task.done():
        await asyncio.wait({task}, timeout=_LOOK_EVERY)
        if stop_asked() and not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_PATIENCE)
            raise StartStopped(awaited)
    return task.result()
