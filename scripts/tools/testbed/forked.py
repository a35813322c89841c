"""Programs of Python that are forked from a process which has imported them already.

A start of the service is 0.7 s of imports and 0.5 s of its own work; tests start it hundreds of
times. What runs is the same program in a process of its own, with its own arguments, environment,
working directory and output: `multiprocessing`'s fork server only spares it the imports.
"""

import atexit
import gc
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerContext
from multiprocessing.reduction import DupFd
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from tempfile import TemporaryDirectory
from typing import Any, Protocol

_REPOSITORY = Path(__file__).parents[3]

_PRELOADED = (
    "service.app",
    "service.cli.program",
    "service.database.migration",
    *(  # what a start imports on its way
        f"service.cli.{name}_options"
        for name in ("account", "api_key", "event", "guard", "key", "operator", "party", "redis")
    ),
    "service.cli.doctor.options",
    "service.cli.mail_commands",
    "service.cli.redis_commands",
    "service.embedded.supervisor",
    "service.keyring.pin",
    "service.serving.start",
    "anyio._backends._asyncio",
    "encodings.idna",
    "litestar._kwargs.kwargs_model",
    "litestar.middleware._internal.exceptions.middleware",
    "litestar.middleware.response_cache",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "tools.testbed.warm",
    __name__,
)
_OURS = ("LD_", "PYTHON", "FAKETIME", "COVERAGE")
"""What begins so in an environment acts on the interpreter itself: such programs are not forked."""

_started: "set[ForkedProgram]" = set()


class Running(Protocol):
    """What tests do with a process: that of `subprocess.Popen` or of `ForkedProgram`."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...


class _Output:
    """What a program prints to: a file by its path, or a descriptor, which goes along."""

    def __init__(self, place: Path | int) -> None:
        self._place: Any = str(place) if isinstance(place, Path) else place

    def __getstate__(self) -> Any:
        place = self._place
        return {"_place": DupFd(place) if isinstance(place, int) else place}

    def become(self, descriptor: int) -> None:
        """Have `descriptor` lead there, in the program itself."""
        if isinstance(self._place, str):
            output = os.open(self._place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        else:
            output = self._place.detach()
        os.dup2(output, descriptor)
        os.close(output)


class ForkedProgram:
    """`python -m <module> <arguments>`, forked. Its exit codes are those of `subprocess.Popen`."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        log: Path | int,
        errors: Path | None = None,
        *,
        own_session: bool = False,
    ) -> None:
        """Start it. What it prints is appended to `log`; on standard error, to `errors` if given.

        A number is that of an open descriptor, such as a pipe's, which need not stay open here.
        `own_session`: it leads a session and a process group of its own.
        """
        context = fork_server()
        outputs = tuple(_Output(each) for each in (log, errors or log))
        arguments, environment = list(arguments), dict(environment)
        self._process = context.Process(
            target=_run, args=(module, arguments, str(cwd), environment, outputs, own_session)
        )
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid
        _started.add(self)

    def poll(self) -> int | None:
        """Return the exit code, the negated number of the signal that ended it, or `None`."""
        code = self._process.exitcode
        if code is not None:
            _started.discard(self)
        return code

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return its exit code.

        Raises:
            TimeoutExpired: it runs on.
        """
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise TimeoutExpired(self._process.name, timeout or 0)
        return code

    def send_signal(self, sig: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)


def fork_server() -> ForkServerContext:
    """Give what starts processes by forking one that has imported the service."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    return context


def can_fork(environment: Mapping[str, str]) -> bool:
    """Tell whether a program with this environment may be forked from what has begun with ours."""
    names = {name for name in {*environment, *os.environ} if name.startswith(_OURS)}
    return all(environment.get(name) == os.environ.get(name) for name in names)


def run_command(
    arguments: Sequence[str], environment: Mapping[str, str], timeout: float = 90
) -> "CompletedProcess[str]":
    """Run `openshow-auth <arguments>` until it ends, with this environment and no other."""
    with TemporaryDirectory() as directory:
        printed, errors = Path(directory, "printed"), Path(directory, "errors")
        program = ForkedProgram("service", arguments, _REPOSITORY, environment, printed, errors)
        try:
            code = program.wait(timeout)
        finally:
            program.send_signal(signal.SIGKILL)
        said = [path.read_text(encoding="utf-8") for path in (printed, errors)]
    return CompletedProcess(list(arguments), code, *said)


def _run(
    module: str,
    arguments: Sequence[str],
    cwd: str,
    environment: Mapping[str, str],
    outputs: "tuple[_Output, ...]",
    own_session: bool,
) -> None:
    if own_session:
        os.setsid()
    for descriptor, output in enumerate(outputs, 1):
        output.become(descriptor)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    gc.enable()
    gc.freeze()  # what is imported lives on: the collection at a start need not look at it
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # children of the fork server end without


@atexit.register  # after `multiprocessing` has registered that it waits for all of them: so before
def _kill_leftovers() -> None:
    for program in list(_started):
        program.send_signal(signal.SIGKILL)
