"""Threads for slow hashes: bounded, polite, and quick to say no."""

import asyncio
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from service.errors import Overloaded

P = ParamSpec("P")
T = TypeVar("T")

QUEUE_PER_WORKER = 16  # with bcrypt at cost 12 that is a wait of about four seconds
_NICENESS = 10
_FIRST_GUESS = 0.25  # seconds a hash takes, until one has been measured
_WEIGHT = 0.2  # of the newest measurement in the moving average


_LIMIT = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of CPU in so many


def usable_cores(limit: Path = _LIMIT) -> int:
    """Cores this process may keep busy, at least one.

    Fewer than the machine has where some are not for it, and in a container with a limit on CPU:
    with more threads than that, a few hashes would use up what the event loop needs, too.
    """
    cores = os.cpu_count() or 1
    with suppress(AttributeError):  # not on macOS
        cores = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # no cgroups of version 2; or `max`, which is no limit
        quota, period = limit.read_text(encoding="ascii").split()
        cores = min(cores, int(quota) // int(period))
    return max(1, cores)


class HashingPool:
    """Runs hashes in `workers` threads; at most `queue_limit` more wait.

    By default there is a worker for each usable core, and 16 places to wait for each worker. Of
    several processes on one machine each should get its share: `workers=usable_cores() // n`.
    """

    def __init__(self, workers: int | None = None, queue_limit: int | None = None) -> None:
        self._workers = max(1, usable_cores() if workers is None else workers)
        if queue_limit is None:
            queue_limit = QUEUE_PER_WORKER * self._workers
        self._most_jobs = self._workers + queue_limit
        self._executor = ThreadPoolExecutor(self._workers, "hashing", initializer=_step_back)
        self._lock = threading.Lock()  # guards the two below, which worker threads change
        self._jobs = 0
        self._typical = _FIRST_GUESS

    def check_room(self) -> None:
        """Ask before the work that leads up to a job, so that turning a flood down costs little.

        Raises:
            Overloaded: too many jobs wait already.
        """
        if self._jobs >= self._most_jobs:
            waiting = self._jobs - self._workers
            raise Overloaded(math.ceil(waiting * self._typical / self._workers))

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work(*args, **kwargs)`, done in a worker. It should release the GIL, as bcrypt does.

        A caller that is cancelled while its job waits takes the job along.

        Raises:
            Overloaded: too many jobs wait already; this one was not begun.
        """
        with self._lock:
            self.check_room()
            self._jobs += 1
        try:
            job = self._executor.submit(self._timed, partial(work, *args, **kwargs))
        except BaseException:  # the place in the queue is given back, whatever went wrong
            self._forget()
            raise
        # On the job, not in a `finally` here: a cancelled caller leaves at once, but a job that
        # has been begun occupies its thread until it is done.
        job.add_done_callback(self._forget)
        return await asyncio.wrap_future(job)

    async def close(self) -> None:
        """Drop what waits and wait for what runs. Call it when no request is left."""
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)

    def _timed(self, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        result = work()
        taken = time.perf_counter() - started
        with self._lock:
            self._typical += _WEIGHT * (taken - self._typical)
        return result

    def _forget(self, _job: Future[T] | None = None) -> None:
        with self._lock:
            self._jobs -= 1


def _step_back() -> None:
    """Give this thread a lower priority, so that a login storm does not slow the event loop.

    Linux keeps a niceness for each thread. Elsewhere it is the process', and stays as it is.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may forbid it; slower answers are no reason to fail
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
