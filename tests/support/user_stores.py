"""The two kinds of user store, for tests that prove the same of both."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine
from tools.testbed.migrated import lay
from tools.testbed.postgresql import PostgresServer

from service.database.engine import open_database

PATIENCE = timedelta(seconds=20)
"""With a busy machine."""


class UserStore(Protocol):
    """A migrated, empty database of the test's own."""

    url: str

    @property
    def settings(self) -> Mapping[str, str]:
        """Those of a service on it, which has patience: how much is not what is being tested."""

    def open(self) -> AsyncEngine:
        """As the service does, with patience."""

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask or change it past the service; `$1` stands for the first value. Booleans may be 0."""

    def held(self) -> AbstractContextManager[None]:
        """Everybody else can read, and waits with what they write to `users`, while this lasts."""

    def out_of_reach(self) -> AbstractContextManager[None]:
        """It cannot be used while this lasts; afterwards it is as it was."""

    def lose(self) -> None:
        """Take it away, for good, from under whoever uses it."""

    def bytes_on_disk(self) -> bytes:
        """The database as it lies there, its log included."""


NewUserStore = Callable[[Path], AbstractContextManager[UserStore]]
"""Makes one; what it keeps in files is in this directory."""


class SqliteStore:
    def __init__(self, directory: Path) -> None:
        self._file = directory / "service.db"
        self.url = "sqlite:///" + quote(str(self._file))
        self.settings = {"SERVICE_DATABASE_URL": self.url}
        lay(self._file)  # unless it is that of another one, with all that is in it

    def open(self) -> AsyncEngine:
        return open_database(self.url, patience=PATIENCE)

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        named = {str(number): value for number, value in enumerate(values, start=1)}
        with closing(sqlite3.connect(self._file, isolation_level=None)) as database:
            return database.execute(sql, named).fetchall()

    @contextmanager
    def held(self) -> Iterator[None]:
        with closing(sqlite3.connect(self._file, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            yield
            database.execute("ROLLBACK")

    @contextmanager
    def out_of_reach(self) -> Iterator[None]:
        aside = self._file.rename(self._file.with_suffix(".aside"))
        try:
            yield
            assert not self._file.exists(), "somebody has made a new, empty one"
        finally:
            aside.rename(self._file)

    def lose(self) -> None:
        for file in list(self._files()):
            file.unlink()

    def bytes_on_disk(self) -> bytes:
        return b"".join(file.read_bytes() for file in self._files())

    def _files(self) -> Iterator[Path]:
        return self._file.parent.glob(self._file.name + "*")


class PostgresStore:
    def __init__(self, server: PostgresServer, name: str) -> None:
        self._server = server
        self._name = name
        self.url = server.url(name)
        self.settings = {
            "SERVICE_DATABASE_URL": self.url,
            "SERVICE_DATABASE_TIMEOUT_MS": f"{PATIENCE / timedelta(milliseconds=1):.0f}",
        }

    def open(self) -> AsyncEngine:
        return open_database(self.url, patience=PATIENCE)

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._server.ask(sql, self._name, *values)

    @contextmanager
    def held(self) -> Iterator[None]:
        # A thread with a loop of its own, because the caller's may be running.
        runner = asyncio.Runner()
        with ThreadPoolExecutor(1) as thread:

            def run(call: Any) -> Any:
                return thread.submit(runner.run, call).result()

            connection = run(_connect(self.url))
            try:
                run(connection.execute("BEGIN; LOCK TABLE users IN EXCLUSIVE MODE"))
                yield
            finally:
                run(connection.close())
                thread.submit(runner.close).result()

    @contextmanager
    def out_of_reach(self) -> Iterator[None]:
        self._server.ask(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
        self._server.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
            "postgres",
            self._name,
        )
        try:
            yield
        finally:
            self._server.ask(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")

    def lose(self) -> None:
        self._server.drop(self._name)

    def bytes_on_disk(self) -> bytes:
        return self._server.bytes_on_disk()


async def _connect(url: str) -> Any:
    return await asyncpg.connect(url, timeout=5)


@contextmanager
def postgres_store(server: PostgresServer) -> Iterator[PostgresStore]:
    with server.database() as name:
        yield PostgresStore(server, name)
