"""Threads for slow hashes: bounded, polite, fair to all networks, and quick to say no."""

import asyncio
import math
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from service.accounts.fair_queue import FairQueue
from service.errors import Overloaded

P = ParamSpec("P")
T = TypeVar("T")

QUEUE_PER_WORKER = 16  # with bcrypt at cost 12 that is a wait of about four seconds
_NICENESS = 10
_FIRST_GUESS = 0.25  # seconds a hash takes, until one has been measured
_WEIGHT = 0.2  # of the newest measurement in the moving average


_LIMIT = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of CPU in so many


def usable_cores(limit: Path = _LIMIT) -> int:
    """Count the cores that this process may keep busy, at least one.

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


class _Job:
    """A piece of work that waits or runs, and the network that it is for."""

    __slots__ = ("future", "network", "work")

    def __init__(self, work: Callable[[], Any], network: str) -> None:
        self.work = work
        self.network = network
        self.future: Future[Any] = Future()


class HashingPool:
    """Runs hashes in `workers` threads; at most `queue_limit` more wait.

    By default there is a worker for each usable core, and 16 places to wait for each worker. Of
    several processes on one machine each should get its share: `workers=usable_cores() // n`.

    Networks take turns, each has half of the places at most, and when all are taken the network
    that holds most gives one up to a network that holds fewer. An empty network has no limit of its
    own.
    """

    def __init__(self, workers: int | None = None, queue_limit: int | None = None) -> None:
        self._workers = max(1, usable_cores() if workers is None else workers)
        if queue_limit is None:
            queue_limit = QUEUE_PER_WORKER * self._workers
        self._most_jobs = self._workers + queue_limit
        self._share = max(1, self._most_jobs // 2)
        self._executor = ThreadPoolExecutor(self._workers, "hashing", initializer=_step_back)
        self._lock = threading.Lock()  # guards the four below, which worker threads change
        self._jobs = 0
        self._held: Counter[str] = Counter()
        self._waiting: FairQueue[_Job] = FairQueue()
        self._typical = _FIRST_GUESS

    def check_room(self, network: str = "") -> None:
        """Refuse a job for which there is no room, before the work that leads up to it.

        So turning a flood down costs little.

        Raises:
            Overloaded: too many jobs wait already, or the network has its share.
        """
        with self._lock:
            self._check_room(network)

    def _check_room(self, network: str) -> None:
        if network and self._held[network] >= self._share:
            raise Overloaded(self._wait(self._held[network]))
        if self._jobs >= self._most_jobs and not self._waiting.yields_to(network):
            raise Overloaded(self._wait(self._jobs - self._workers))

    def _wait(self, jobs: int) -> int:
        return math.ceil(jobs * self._typical / self._workers)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what `run_for` does, for no network in particular."""
        return await self.run_for("", work, *args, **kwargs)

    async def run_for(
        self, network: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do `work(*args, **kwargs)` in a worker. It should release the GIL, as bcrypt does.

        A caller that is cancelled while its job waits takes the job along.

        Raises:
            Overloaded: too many jobs wait already, or this network's turn; it was not begun.
        """
        job = _Job(partial(work, *args, **kwargs), network)
        with self._lock:
            self._check_room(network)
            outdone = self._waiting.make_room(network) if self._jobs >= self._most_jobs else None
            self._jobs += 1
            self._held[network] += 1
            self._waiting.put(job, network)
        # On the job, not in a `finally` here: a cancelled caller leaves at once, but a job that
        # has been begun occupies its thread until it is done.
        job.future.add_done_callback(partial(self._forget, job))
        if outdone is not None and not outdone.future.done():
            outdone.future.set_exception(Overloaded(self._wait(self._most_jobs - self._workers)))
        try:
            self._executor.submit(self._next)
        except BaseException:  # the place in the queue is given back, whatever went wrong
            job.future.cancel()
            raise
        result: T = await asyncio.wrap_future(job.future)
        return result

    def queue(self) -> tuple[int, int]:
        """Count the hashes that wait, and those that are being computed."""
        with self._lock:
            waiting = len(self._waiting)
            return waiting, self._jobs - waiting

    async def close(self) -> None:
        """Drop what waits and wait for what runs. Call it when no request is left."""
        with self._lock:
            waiting = [*self._waiting.pop_all()]
        for job in waiting:
            job.future.cancel()
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)

    def _next(self) -> None:
        """Do the job whose turn it is, if any still waits: as often as one was put into the line,
        whichever that was."""
        while True:
            with self._lock:
                job = self._waiting.take()
            if job is None:
                return
            if job.future.set_running_or_notify_cancel():
                break
        started = time.perf_counter()
        try:
            result = job.work()
        except BaseException as error:  # handed to whoever waits, as an executor does
            job.future.set_exception(error)
            return
        taken = time.perf_counter() - started
        with self._lock:
            self._typical += _WEIGHT * (taken - self._typical)
        job.future.set_result(result)

    def _forget(self, job: _Job, _future: Future[Any]) -> None:
        with self._lock:
            self._jobs -= 1
            self._held[job.network] -= 1
            if not self._held[job.network]:
                del self._held[job.network]
            self._waiting.remove(job, job.network)


def _step_back() -> None:
    """Give this thread a lower priority, so that a login storm does not slow the event loop.

    Linux keeps a niceness for each thread. Elsewhere it is the process', and stays as it is.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may forbid it; slower answers are no reason to fail
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
