"""Calls that block, beside the event loop, on threads that nobody has to wait for."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")


async def run_in_daemon_thread(function: Callable[..., Result], *arguments: object) -> Result:
    """Run `function` in a daemon thread, and return its result.

    Unlike with `asyncio.to_thread`, the process can end meanwhile.

    The threads of `to_thread` are joined at the end, and a key service that hangs would hold up
    the stop of a process that has long stopped caring. They are few, too: whoever hangs on all of
    them would have everybody else wait.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if answer.done():  # cancelled: nobody waits any more
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]  # without an error there is one

    def call() -> None:
        result, error = None, None
        try:
            result = function(*arguments)
        except BaseException as raised:  # raised again where it is waited for
            error = raised
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=call, name="beside", daemon=True).start()
    return await answer
