"""The two kinds of user store, for tests that prove the same of both."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from service.database.migration import migrate
from tests.support.postgresql import PostgresServer


class UserStore(Protocol):
    """A migrated, empty database of the test's own."""

    url: str

    def lose(self) -> None:
        """Take it away, for good, from under whoever uses it."""

    def bytes_on_disk(self) -> bytes:
        """The database as it lies there, its log included."""


class SqliteStore:
    def __init__(self, directory: Path) -> None:
        self._file = directory / "service.db"
        self.url = "sqlite:///" + quote(str(self._file))
        migrate(self.url)

    def _files(self) -> Iterator[Path]:
        return self._file.parent.glob(self._file.name + "*")

    def lose(self) -> None:
        for file in list(self._files()):
            file.unlink()

    def bytes_on_disk(self) -> bytes:
        return b"".join(file.read_bytes() for file in self._files())


class PostgresStore:
    def __init__(self, server: PostgresServer, name: str) -> None:
        self._server = server
        self._name = name
        self.url = server.url(name)

    def lose(self) -> None:
        self._server.drop(self._name)

    def bytes_on_disk(self) -> bytes:
        return self._server.bytes_on_disk()


@contextmanager
def postgres_store(server: PostgresServer) -> Iterator[PostgresStore]:
    with server.database() as name:
        yield PostgresStore(server, name)
