"""Killing a service just before or just after it writes a user's row, in the middle of a call."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from tools.testbed.redis_server import RedisServer
from tools.testbed.service_process import ServiceProcess
from tools.testbed.waiting import wait_until

from tests.support.user_stores import UserStore

Fragile = tuple[RedisServer, ServiceProcess]


@contextmanager
def fragile_service(
    directory: Path, binary: Path, store: UserStore, **settings: str
) -> Iterator[Fragile]:
    """A server and a process that may be killed."""
    (directory / "redis").mkdir()
    server = RedisServer(binary, directory / "redis").start()
    service = ServiceProcess(directory, server.url, **store.settings, **settings)
    try:
        yield server, service.start()
    finally:
        service.stop()
        server.heal()
        server.stop()


async def kill_around_the_row(
    fragile: Fragile,
    store: UserStore,
    send: Callable[[], Awaitable[asyncio.StreamWriter]],
    is_next: Callable[[], bool],
    is_written: Callable[[], bool],
    *,
    written: bool,
) -> None:
    """Send a call and kill -9 the service before it has written the row, or after it and before
    Redis has heard of it.

    `is_next`: the row is the next thing that it writes. `is_written`: it stands there.
    """
    server, service = fragile
    with ExitStack() as lock:
        lock.enter_context(store.held())
        writer = await send()
        wait_until(is_next)
        if written:
            server.freeze()
            lock.close()
            wait_until(is_written)
        service.stop(signal.SIGKILL)
        if written:  # with what it was sent last still unread
            server.kill()
            server.start()
    writer.close()


async def post_unanswered(
    client: httpx.AsyncClient, path: str, bearer: Mapping[str, str], **body: str
) -> asyncio.StreamWriter:
    """Send a call on a connection of its own, for an answer that will never come."""
    content, url = json.dumps(body).encode(), client.base_url
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        b"POST %b HTTP/1.1\r\nHost: test\r\nAuthorization: %b\r\nContent-Length: %d\r\n\r\n%b"
        % (path.encode(), bearer["Authorization"].encode(), len(content), content)
    )
    await writer.drain()
    return writer
