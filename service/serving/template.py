"""The process that workers are forked from: it has imported the app, and does nothing else.

A worker that is forked has nothing to import, and shares the memory of all code with the others.
The parent cannot be what it is forked from: it has threads, connections and open keys, and a fork
takes along what it finds, locks that nobody gives back included. So the parent starts another
Python, which has none of these and gets none: settings go to the worker itself.

    parent ── starts ──> template ── forks ──> a process between ── forks ──> worker

The process between ends at once, and the kernel gives its child to the parent, which has asked for
that (`SET_CHILD_SUBREAPER`). So workers are children of the parent, to wait for and to kill, and
lose nothing when the template is killed: the next one comes from a new template. Where a system has
no such call, a template forks nothing: it becomes a worker itself.

From the parent's socket a template reads the names of modules, then a byte for each worker, with
the descriptors that it gets: its end of the channel, the loads, the listeners. Into the channel it
writes the id of the worker. It ends with the socket.
"""

import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from service.serving.core_dumps import disable_core_dumps
from service.serving.imports import begin_imports, keep_imports
from service.serving.prctl import SET_CHILD_SUBREAPER, prctl
from service.serving.signals import HELD

_BEGINNING = (
    "import sys; sys.path[:] = sys.argv[3:]; from service.serving.template import main;"
    " main(int(sys.argv[1]), sys.argv[2] == 'forks')"
)
_SETTINGS = ("SERVICE_", "OPENSHOW_", "AWS_", "VAULT_", "PG", "OTEL_EXPORTER_")
"""Variables that begin so mean nothing to imports, and may be secret."""
_APP = ("service.app", "service.serving.worker", "uvloop")
LENGTH = 4  # bytes that say how long a message is, or what id a process has
_MOST_DESCRIPTORS = 16
_CLOSED_AT_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Template:
    """A template process, as its parent sees it. When it is gone the next start makes another."""

    def __init__(self, metrics: str) -> None:
        """Start it: it imports the app meanwhile.

        `metrics` is the directory where workers keep what they count.
        """
        self._metrics = metrics
        self._process: subprocess.Popen[bytes] | None = None
        self._has_names = False
        self._forks = self._adopts = adopt_orphans(True)
        if self._forks:  # its imports open files, too, in which nothing will be counted
            self._metrics = os.path.join(metrics, "template")
            os.mkdir(self._metrics)
        self._control = self._launched()
        self.adopt_no_more()

    def start_worker(self, descriptors: Sequence[int]) -> "Child | None":
        """Have a worker started with these descriptors, as the module says.

        Returns its process, if it is known by now. If not, the channel will tell its id, and until
        then orphans are adopted.
        """
        self._adopts = adopt_orphans(True)
        if not self._ask(descriptors):
            self.close()
            self._control = self._launched()
            self._ask(descriptors)  # if it has ended at once, so has the channel
        if self._forks:
            return None
        worker, self._process = self._process, None
        self._control.close()
        return worker

    def adopt_no_more(self) -> None:
        """Leave orphans to others: what Valkey leaves, if it is killed, nobody waits for here."""
        if self._adopts:
            self._adopts = not adopt_orphans(False)

    def close(self) -> None:
        """End it. It has nothing to lose. Another start makes a new one."""
        self._control.close()
        if self._process:
            self._process.kill()
            self._process.wait()

    def _launched(self) -> socket.socket:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(_SETTINGS)}
        environment["PROMETHEUS_MULTIPROC_DIR"] = self._metrics
        flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # no other knows -P
        ours, theirs = socket.socketpair()
        self._has_names = False
        control, does = str(theirs.fileno()), "forks" if self._forks else "becomes"
        with theirs, _signals_held_back():
            self._process = subprocess.Popen(
                [sys.executable, *flags, "-c", _BEGINNING, control, does, *sys.path],
                env=environment,
                pass_fds=[theirs.fileno()],
            )
        return ours

    def _ask(self, descriptors: Sequence[int]) -> bool:
        with suppress(OSError):  # it has ended
            if not self._has_names:
                send_message(self._control, [*sys.modules])
                self._has_names = True
            socket.send_fds(self._control, [b"w"], descriptors)
            return True
        return False


def adopt_orphans(whether: bool) -> bool:
    """Have processes whose parent ends become ours, or not. Return whether the system can."""
    return prctl(SET_CHILD_SUBREAPER, int(whether))


class Adopted:
    """A child that was not started here, with what is needed of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, the negated number of the signal that ended it, or `None`."""
        if self._code is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # whoever has started us ignores SIGCHLD: it is not kept
                self._code = 0
            else:
                self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


Child = subprocess.Popen[bytes] | Adopted


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Block signals, so that what is started inside gets none until it has handlers for them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def main(descriptor: int, forks: bool) -> None:
    """Be a template, and in what is forked from it a worker.

    Signals stay blocked, those to the process group, too, until a worker has handlers for them.
    """
    disable_core_dumps()
    begin_imports()
    with socket.socket(fileno=descriptor) as control:
        for name in _APP:
            import_module(name)
        for name in read_message(control) or ():
            # What the parent has loaded besides: what its settings need, and its first app did.
            if name not in sys.modules:
                with suppress(Exception):  # a worker that needs it will say so
                    import_module(name)
        keep_imports()
        descriptors = _next_worker(control, forks)
    if descriptors:
        from service.serving.worker import work

        channel, memory, *listeners = descriptors
        sockets = [socket.socket(fileno=each) for each in listeners]
        work(socket.socket(fileno=channel), memory, sockets)


def _next_worker(control: socket.socket, forks: bool) -> list[int]:
    """Fork workers until the parent is gone. Return the descriptors of a worker, within it."""
    while True:
        request, descriptors, *_ = socket.recv_fds(control, 1, _MOST_DESCRIPTORS, _CLOSED_AT_EXEC)
        if not request:
            return []
        with suppress(OSError):  # no process, or nobody to tell: the end of the channel tells
            pid = _fork() if forks else os.getpid()
            if pid:
                os.write(descriptors[0], pid.to_bytes(LENGTH))
            if not (pid and forks):
                return descriptors
        for each in descriptors:
            os.close(each)


def _fork() -> int:
    """Fork a worker, an orphan that our parent adopts. Return its id, and 0 within it.

    Raises:
        OSError: there is no room for another process.
    """
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as told, open(writer, "wb", buffering=0) as telling:
        between = os.fork()
        if not between:
            with suppress(OSError):
                if not (pid := os.fork()):
                    return 0
                telling.write(pid.to_bytes(LENGTH))
            os._exit(0)
        telling.close()
        said = told.read(LENGTH)
        os.waitpid(between, 0)  # from now on the worker is our parent's
    if not said:
        raise OSError("no process")
    return int.from_bytes(said)


def send_message(channel: socket.socket, message: Any) -> None:
    """Send something that JSON can spell."""
    text = json.dumps(message).encode()
    channel.sendall(len(text).to_bytes(LENGTH) + text)


def read_message(channel: socket.socket) -> Any:
    """Read what `send_message` has sent; `None` if the channel has ended."""
    with channel.makefile("rb", buffering=0) as file:
        length = _read(file, LENGTH)
        text = _read(file, int.from_bytes(length))
    return json.loads(text) if text else None


def _read(file: io.RawIOBase, size: int) -> bytes:
    read = b""
    while len(read) < size and (more := file.read(size - len(read))):
        read += more
    return read if len(read) == size else b""
