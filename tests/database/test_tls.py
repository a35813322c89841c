"""A PostgreSQL that is reached over TLS: the URL says how far it is trusted."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from tools.testbed.postgresql import PostgresServer
from tools.testbed.tls import Authority

from service.database.engine import open_database, ping
from service.database.migration import migrate
from service.errors import StartupError
from tests.support.user_stores import PATIENCE

SSL_REQUEST = bytes.fromhex("0000000804d2162f")

Front = Callable[[ssl.SSLContext | None], AbstractAsyncContextManager[str]]


@pytest.fixture
def front(postgres: PostgresServer) -> Front:
    """Opens a port before the server, which answers like its own: TLS, or none. It takes no client
    that does not ask. (The server of the wheel is built without TLS.)"""
    [socket] = postgres.directory.glob(".s.PGSQL.[0-9]*[0-9]")

    async def serve(
        context: ssl.SSLContext | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            assert await reader.readexactly(8) == SSL_REQUEST
            writer.write(b"S" if context else b"N")
            if context:
                await writer.start_tls(context)
                behind = await asyncio.open_unix_connection(str(socket))
                await asyncio.gather(_pass_on(reader, behind[1]), _pass_on(behind[0], writer))
        except (OSError, asyncio.IncompleteReadError):  # a client that does not trust us leaves
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def front(context: ssl.SSLContext | None) -> AsyncIterator[str]:
        server = await asyncio.start_server(lambda *ends: serve(context, *ends), "127.0.0.1", 0)
        async with server:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    return front


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


def certified_by(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue())
    return context


async def test_a_verified_server_is_used(
    postgres: PostgresServer, front: Front, tmp_path: Path
) -> None:
    """Proves that migration and service connect over TLS, and know the server by its authority."""
    authority = Authority(tmp_path)
    with postgres.database(migrated=False) as name:
        async with front(certified_by(authority)) as place:
            options = f"sslmode=verify-full&sslrootcert={authority.file}"
            url = f"postgresql://tests@{place}/{name}?{options}"
            await asyncio.to_thread(migrate, url)
            engine = open_database(url, patience=PATIENCE)
            await ping(engine)
            await engine.dispose()


async def test_another_server_is_refused(front: Front, tmp_path: Path) -> None:
    """Proves that a certificate of somebody else's, or no TLS where it is asked for, stops the
    start with one line."""
    (tmp_path / "other").mkdir()
    foreign = certified_by(Authority(tmp_path / "other"))
    trusted = Authority(tmp_path).file
    for context, options, says in (
        (foreign, f"sslmode=verify-full&sslrootcert={trusted}", "certificate verify failed"),
        (foreign, f"sslmode=verify-ca&sslrootcert={trusted}", "certificate verify failed"),
        (None, "sslmode=require", "rejected SSL upgrade"),
    ):
        async with front(context) as place:
            with pytest.raises(StartupError, match=rf"^SERVICE_DATABASE_URL: .*{says}") as refused:
                await asyncio.to_thread(migrate, f"postgresql://tests:hunter2@{place}/x?{options}")
        assert "\n" not in str(refused.value)
        assert "hunter2" not in str(refused.value)
