"""Calls beside the event loop: their answers, their errors, and a process that need not wait."""

import asyncio
import subprocess
import sys
import threading

import pytest
from tools.testbed.redis_server import REPOSITORY

from service.daemon_thread import run_in_daemon_thread

HANGS = """
import asyncio, threading
from service.daemon_thread import run_in_daemon_thread

async def main():
    try:
        async with asyncio.timeout(0.05):
            await run_in_daemon_thread(threading.Event().wait)
    except TimeoutError:
        print("given up", flush=True)

asyncio.run(main())
"""


async def test_answers_and_errors_come_back() -> None:
    """What a call returns or raises is what waiting for it gives, from another thread."""
    assert await run_in_daemon_thread(divmod, 7, 2) == (3, 1)
    assert await run_in_daemon_thread(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await run_in_daemon_thread(divmod, 7, 0)


async def test_cancelled_call_is_nobody_s() -> None:
    """An answer that comes after its waiter was cancelled is dropped without a word."""
    let_go = threading.Event()
    waiting = asyncio.create_task(run_in_daemon_thread(let_go.wait))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    let_go.set()
    assert await run_in_daemon_thread(let_go.is_set)


def test_process_ends_while_a_call_hangs() -> None:
    """A call that never ends keeps neither the event loop nor the process from ending."""
    run = subprocess.run(
        [sys.executable, "-c", HANGS],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert (run.stdout, run.stderr) == ("given up\n", "")
