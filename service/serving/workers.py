"""Several worker processes on one socket, and the parent that keeps them.

Parent and worker share a pair of sockets. The worker's event loop sends a beat through it every
half second, so a worker that hangs is noticed whatever it hangs in. Its end tells: a parent that
reads it knows that the worker is gone, a worker that reads it that the parent is, even by SIGKILL.

All accept from one socket, so a connection that one of them does not take, another does. Who has
more connections than another lets that one go first.
"""

import ctypes
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import allow_connection_pickling, get_context, resource_tracker
from multiprocessing.connection import wait
from types import FrameType

import structlog
from uvicorn.config import STARTUP_FAILURE

from service import streams
from service.serving.core_dumps import disable_core_dumps
from service.serving.server import LONGEST_STOP, Announce, Server, StopAsked, configuration
from service.serving.signals import HELD, STOPS, be_a_worker
from service.settings import Settings
from service.web.metrics.exposition import forget_process

HUNG = 15.0
"""Seconds without a beat. On a machine that is merely busy an event loop turns more often."""

_SLOWEST_START = 60.0  # seconds until the first beat
_LONGEST_PAUSE = 30.0  # seconds before another try, where workers end before they serve
_ABSENT = 2**30  # the connections of a worker that is not there: nobody leaves one to it

log = structlog.get_logger()

Listeners = Sequence[socket.socket]
Loads = ctypes.Array[ctypes.c_int]
"""How many connections each worker has, in memory that all of them share."""

allow_connection_pickling()
_spawn = get_context("spawn")  # a fork would take the parent's threads and connections along


class Supervisor:
    """Starts the workers, replaces those that end or hang, stops all."""

    def __init__(
        self, settings: Settings, listeners: Listeners, announce: Announce, stop_asked: StopAsked
    ) -> None:
        """Start nothing yet. `announce` is called once, when all workers listen."""
        self._settings = settings
        self._listeners = listeners
        self._announce = announce
        self._stop_asked = stop_asked
        self._workers: list[_Worker] = []
        self._loads: Loads = _spawn.RawArray("i", [_ABSENT] * settings.workers)
        self._missing = dict.fromkeys(range(settings.workers), 0.0)
        """The number of each worker that is to be started, and when."""
        self._failures = 0
        self._hurried = False

    def run(self) -> int:
        """Serve until `stop_asked`, and return the exit code. The socket is closed afterwards."""
        signal.signal(signal.SIGINT, self._hurry)
        announced = False
        try:
            while not (self._hurried or self._stop_asked()):
                self._start_missing()
                self._listen_to_workers()
                failed = self._replace_ended()
                if not announced and failed:
                    log.error("a worker ended before it could serve; giving up")
                    return STARTUP_FAILURE
                if not announced and all(worker.serves for worker in self._workers):
                    self._announce()
                    announced = True
        finally:
            self._stop()
        return 0

    def _hurry(self, number: int, frame: FrameType | None) -> None:
        self._hurried = True  # somebody waits at a terminal

    def _start_missing(self) -> None:
        due = [number for number, at in self._missing.items() if at <= time.monotonic()]
        for number in due:
            del self._missing[number]
            self._workers.append(_Worker(number, self._listeners, self._loads))

    def _listen_to_workers(self) -> None:
        wait([worker.channel for worker in self._workers], timeout=0.1)
        for worker in self._workers:
            worker.listen()

    def _replace_ended(self) -> bool:
        """Plan the replacement of workers that have ended or hang. Return whether there are any."""
        dead = [worker for worker in self._workers if not worker.lives()]
        planned: list[tuple[_Worker, float]] = []
        for worker in dead:
            worker.end(time.monotonic() + 1)
            self._workers.remove(worker)
            # Nobody is helped by a start a second against a store that is down.
            self._failures = 0 if worker.serves else self._failures + 1
            pause = min(2.0**self._failures - 1, _LONGEST_PAUSE)
            self._missing[worker.number] = time.monotonic() + pause
            self._loads[worker.number] = _ABSENT
            forget_process(worker.pid)
            planned.append((worker, pause))
        for worker, pause in planned:  # first act, then tell
            log.error("worker lost", pid=worker.pid, cause=worker.cause, replaced_in=pause)
        return bool(dead)

    def _stop(self) -> None:
        # While it is open here, connections queue that no worker would accept any more.
        for listener in self._listeners:
            listener.close()
        for worker in self._workers:
            worker.terminate()
        deadline = time.monotonic() + self._settings.drain_delay.total_seconds() + LONGEST_STOP
        while any(worker.runs for worker in self._workers) and time.monotonic() < deadline:
            if self._hurried:
                deadline = min(deadline, time.monotonic() + LONGEST_STOP)
                self._hurried = False
                for worker in self._workers:
                    worker.stop_without_delay()
            time.sleep(0.05)  # not a wait for the first: a signal has to be noticed, too
        for worker in self._workers:
            worker.end(deadline)


class _Worker:
    """A worker process, as its parent sees it."""

    def __init__(self, number: int, listeners: Listeners, loads: Loads) -> None:
        self.number = number
        self.channel, theirs = socket.socketpair()
        self.channel.setblocking(False)
        self.serves = False
        self.cause = "hung"
        self._heard = time.monotonic()
        with theirs, _signals_held_back():
            self._process = _spawn.Process(target=work, args=(listeners, theirs, loads, number))
            self._process.start()
        self.pid = self._process.pid

    def listen(self) -> None:
        with suppress(BlockingIOError, ConnectionResetError):
            if self.channel.recv(4096):
                self._heard = time.monotonic()
                self.serves = True
            else:
                self.cause = "ended"

    def lives(self) -> bool:
        patience = HUNG if self.serves else _SLOWEST_START
        return self.cause != "ended" and time.monotonic() - self._heard < patience

    @property
    def runs(self) -> bool:
        return self._process.exitcode is None

    def terminate(self) -> None:
        self._process.terminate()

    def stop_without_delay(self) -> None:
        """Stop without the delay: to the worker it looks as if the parent were gone."""
        with suppress(OSError):
            self.channel.shutdown(socket.SHUT_WR)

    def end(self, deadline: float) -> None:
        """Wait for its end until `deadline`, on the monotonic clock, then kill it."""
        self._process.join(max(0, deadline - time.monotonic()))
        if self.runs:
            self._process.kill()
            self._process.join()
        self.cause = f"{self.cause}, exit code {self._process.exitcode}"
        self.channel.close()


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Block signals, so that what is started inside gets them once it has handlers (`work`)."""
    resource_tracker.ensure_running()  # else starting a process does it, and ends the hold
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work(listeners: Listeners, channel: socket.socket, loads: Loads, number: int) -> None:
    """Be a worker: serve until a signal comes or the parent is gone."""
    gc.disable()  # until the app is there
    disable_core_dumps()
    streams.write_without_blocking()
    settings = Settings.from_environment(os.environ)
    server = _WorkerServer(settings, channel, loads, number)
    be_a_worker()
    for number in STOPS:  # early ones, and those that uvicorn repeats when it has ended
        signal.signal(number, lambda *_: server.stop_soon())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
    threading.Thread(target=_end_with_parent, args=(channel, server), daemon=True).start()
    server.run(sockets=[*listeners])


def _end_with_parent(channel: socket.socket, server: Server) -> None:
    with suppress(OSError):
        channel.recv(1)  # never sent
    server.stop_soon()
    time.sleep(LONGEST_STOP)
    streams.flush()
    os._exit(1)  # it hangs, and there is nobody else to end it


class _WorkerServer(Server):
    """A server that tells the parent, by a beat from its event loop, that it does not hang."""

    def __init__(
        self, settings: Settings, channel: socket.socket, loads: Loads, number: int
    ) -> None:
        config = configuration("service.app:from_environment", settings)
        super().__init__(config, settings, announce=self._beat)
        self._channel = channel
        self._loads = loads
        self._number = number

    async def on_tick(self, counter: int) -> bool:
        self._tell_load()
        if counter % 5 == 0:
            self._beat()
        return await super().on_tick(counter)

    def is_its_turn(self, under_way: int) -> bool:
        return bool(self._tell_load(under_way) <= min(self._loads))

    def _tell_load(self, under_way: int = 0) -> int:
        self._loads[self._number] = len(self.server_state.connections) + under_way
        return self._loads[self._number]

    def _beat(self) -> None:
        # A parent that is stopped does not read, and one that is gone cannot.
        with suppress(OSError):
            self._channel.send(b".", socket.MSG_DONTWAIT)
