"""A load balancer over TCP, as small as it can be: for what clients see of a rolling restart."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import httpx
from tools.testbed.waiting import PATIENCE

_LOOK_EVERY = 0.1  # seconds between two looks at who is ready


class Balancer:
    """Sends each connection to the next backend that was ready when it last looked.

    It repeats nothing: a backend that refuses a connection is passed over, for then nothing was
    sent; what happens later is the client's to see.
    """

    def __init__(self, backends: Callable[[], Sequence[str]]) -> None:
        """`backends` gives the URLs of those that there are, at any time."""
        self.url = ""
        self._backends = backends
        self._ready: list[str] = []
        self._turn = 0

    async def look(self) -> None:
        """Ask all, again and again, whether they are ready."""
        async with httpx.AsyncClient(timeout=PATIENCE) as client:  # who is slow is not down
            while True:
                asked = list(self._backends())
                ready = await asyncio.gather(*(_is_ready(client, url) for url in asked))
                self._ready = [url for url, is_ready in zip(asked, ready, strict=True) if is_ready]
                await asyncio.sleep(_LOOK_EVERY)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        for _ in range(len(self._ready)):
            self._turn += 1
            address = urlsplit(self._ready[self._turn % len(self._ready)])
            with suppress(ConnectionRefusedError):
                there = await asyncio.open_connection(address.hostname, address.port)
                await asyncio.gather(_pass_on(reader, there[1]), _pass_on(there[0], writer))
                return
        writer.transport.abort()

    @property
    def ready(self) -> int:
        """How many were ready."""
        return len(self._ready)


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    with suppress(httpx.TransportError):
        return (await client.get(f"{url}/health/ready")).status_code == 200
    return False


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def balancing(backends: Callable[[], Sequence[str]]) -> AsyncIterator[Balancer]:
    """A balancer that serves."""
    balancer = Balancer(backends)
    looking = asyncio.create_task(balancer.look())
    server = await asyncio.start_server(balancer.take, "127.0.0.1", 0)
    balancer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield balancer
    server.close()
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking
