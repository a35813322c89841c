"""Several worker processes on one socket, and the parent that keeps them.

Parent and worker share a pair of sockets. The worker's event loop sends a beat through it every
half second, so a worker that hangs is noticed whatever it hangs in. Its end tells: a parent that
reads it knows that the worker is gone, a worker that reads it that the parent is, even by SIGKILL.

All are forked from a template (`service.serving.template`), and are children of the parent.

All accept from one socket, so a connection that one of them does not take, another does. Who has
more connections than another lets that one go first.
"""

import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from types import FrameType

import structlog
from uvicorn.config import STARTUP_FAILURE

from service.serving.loads import ABSENT, loads_in, shared_memory
from service.serving.server import LONGEST_STOP, Announce, StopAsked
from service.serving.template import LENGTH, Adopted, Child, Template, send_message
from service.settings import Settings
from service.web.metrics.exposition import forget_process

HUNG = 15.0
"""Seconds without a beat. On a machine that is merely busy an event loop turns more often."""

_SLOWEST_START = 60.0  # seconds until the first beat
_LONGEST_PAUSE = 30.0  # seconds before another try, where workers end before they serve
_LONGEST_SEND = 5.0  # seconds until a worker has read its settings, if they are more than 200 KB

log = structlog.get_logger()

Listeners = Sequence[socket.socket]


class Supervisor:
    """Starts the workers, replaces those that end or hang, stops all."""

    def __init__(
        self,
        settings: Settings,
        template: Template,
        listeners: Listeners,
        announce: Announce,
        stop_asked: StopAsked,
    ) -> None:
        """Start nothing yet. `announce` is called once, when all workers listen."""
        self._settings = settings
        self._template = template
        self._listeners = listeners
        self._announce = announce
        self._stop_asked = stop_asked
        self._workers: list[_Worker] = []
        self._memory = shared_memory(settings.workers)
        self._loads = loads_in(self._memory)
        self._loads[:] = [ABSENT] * settings.workers
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
            worker = _Worker(number, self._template, self._memory, self._listeners)
            self._workers.append(worker)

    def _listen_to_workers(self) -> None:
        wait([worker.channel for worker in self._workers], timeout=0.1)
        for worker in self._workers:
            worker.listen()
        if all(worker.pid for worker in self._workers):
            self._template.adopt_no_more()

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
            self._loads[worker.number] = ABSENT
            forget_process(worker.pid)
            if worker.pid is None:
                self._template.close()  # it may hang
            planned.append((worker, pause))
        for worker, pause in planned:  # first act, then tell
            log.error("worker lost", pid=worker.pid, cause=worker.cause, replaced_in=pause)
        return bool(dead)

    def _stop(self) -> None:
        # While it is open here, connections queue that no worker would accept any more.
        for listener in self._listeners:
            listener.close()
        self._template.close()
        for worker in self._workers:
            worker.listen()  # what has just been forked
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

    def __init__(self, number: int, template: Template, memory: int, listeners: Listeners) -> None:
        self.number = number
        self.channel, theirs = socket.socketpair()
        self.channel.setblocking(False)
        self.pid: int | None = None
        self.serves = False
        self.cause = "hung"
        self._heard = time.monotonic()
        with theirs:
            passed = [theirs.fileno(), memory, *(listener.fileno() for listener in listeners)]
            self._process: Child | None = template.start_worker(passed)

    def listen(self) -> None:
        """Take in what it has said: first its id, then that it does not hang."""
        try:
            said = self.channel.recv(4096 if self.pid else LENGTH)
            if not said:
                self.cause = "ended"
            elif self.pid:
                self._heard = time.monotonic()
                self.serves = True
            else:
                self._begin(int.from_bytes(said))
        except BlockingIOError:
            pass
        except OSError:
            self.cause = "ended"

    def _begin(self, pid: int) -> None:
        self.pid = pid
        self._process = self._process or Adopted(pid)
        self.channel.settimeout(_LONGEST_SEND)
        send_message(self.channel, {"number": self.number, "environment": dict(os.environ)})
        self.channel.setblocking(False)

    def lives(self) -> bool:
        patience = HUNG if self.serves else _SLOWEST_START
        return self.cause != "ended" and time.monotonic() - self._heard < patience

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def terminate(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGTERM)

    def stop_without_delay(self) -> None:
        """Stop without the delay: to the worker it looks as if the parent were gone."""
        with suppress(OSError):
            self.channel.shutdown(socket.SHUT_WR)

    def end(self, deadline: float) -> None:
        """Wait for its end until `deadline`, on the monotonic clock, then kill it."""
        while self.runs and time.monotonic() < deadline:
            time.sleep(0.01)
        if self._process and self.runs:
            self._process.send_signal(signal.SIGKILL)
            while self.runs:
                time.sleep(0.01)
        code = self._process.poll() if self._process else None
        self.cause = f"{self.cause}, exit code {code}"
        self.channel.close()
