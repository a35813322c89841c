"""A TCP proxy before one server: it forwards, and on request is a bad network."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

Address = tuple[str, int] | Path
"""Host and port, or a socket file."""

_CHUNK = 65_536


class Proxy:
    """Listens on a port of loopback, in the event loop that started it.

    What it does to bytes, a network does too: it delays them, or loses the end of a connection. It
    never takes some from the middle.
    """

    def __init__(self, target: Address) -> None:
        self.target = target
        self.port = 0
        self.replies_lost = 0
        self._delay = 0.0
        self._refuses = False
        self._replication_passes = asyncio.Event()
        self._replication_passes.set()
        self._wanted: Callable[[bytes], bool] | None = None
        self._server: asyncio.Server | None = None
        self._wires: dict[_Wire, asyncio.Task[None]] = {}

    async def start(self, port: int = 0) -> "Proxy":
        """Listen on `port`, or on any."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self.heal()
            self.cut()
            await asyncio.gather(*self._wires.values())
            await self._server.wait_closed()

    def cut(self) -> None:
        """Break all connections. New ones are welcome."""
        for wire in tuple(self._wires):
            wire.cut()

    def part(self) -> None:
        """Break all connections, and any new one at once, until `heal`."""
        self._refuses = True
        self.cut()

    def delay(self, seconds: float) -> None:
        """Hold everything back for so long, in both directions, until `heal`."""
        self._delay = seconds

    def hold_replication(self) -> None:
        """Keep from replicas what the server sends them, until `heal`. Breaking a connection loses
        what was kept."""
        self._replication_passes.clear()

    def lose_reply(self, wanted: Callable[[bytes], bool]) -> None:
        """Forward the next request that is `wanted`; when its reply comes, break the connection
        instead of delivering it."""
        self._wanted = wanted

    def heal(self) -> None:
        """Be a good network again."""
        self._refuses = False
        self._replication_passes.set()
        self._delay = 0.0
        self._wanted = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire, task = _Wire(self, writer), asyncio.current_task()
        assert task
        self._wires[wire] = task
        try:
            if not self._refuses:
                await wire.forward(reader, *await self._connect())
        except* OSError:  # the server is down, or one side has broken off
            pass
        finally:
            wire.cut()
            del self._wires[wire]

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, Path):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection(*self.target)

    def takes(self, request: bytes) -> bool:
        """Whether the reply to this request is to be lost. Says so once."""
        if self._wanted is None or not self._wanted(request):
            return False
        self._wanted = None
        return True

    async def pass_on(self, *, to_replica: bool) -> None:
        """Wait as long as the network has a piece wait."""
        await asyncio.sleep(self._delay)
        if to_replica:
            await self._replication_passes.wait()


class _Wire:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = client
        self._server: asyncio.StreamWriter | None = None
        self._is_replication = False
        self._loses = False

    async def forward(
        self,
        requests: asyncio.StreamReader,
        replies: asyncio.StreamReader,
        server: asyncio.StreamWriter,
    ) -> None:
        self._server = server
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forward(requests, server))
            group.create_task(self._back(replies))

    def cut(self) -> None:
        """Break both halves, without delivering what is still under way."""
        for half in (self._client, self._server):
            if half is not None:
                with suppress(RuntimeError):  # the loop is closed already
                    half.transport.abort()

    async def _forward(self, requests: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while request := await requests.read(_CHUNK):
            await self._proxy.pass_on(to_replica=False)
            self._is_replication = self._is_replication or b"PSYNC" in request[:64]
            self._loses = self._loses or self._proxy.takes(request)
            server.write(request)
            await server.drain()
        self.cut()

    async def _back(self, replies: asyncio.StreamReader) -> None:
        while reply := await replies.read(_CHUNK):
            if self._loses:
                self._proxy.replies_lost += 1
                break
            await self._proxy.pass_on(to_replica=self._is_replication)
            self._client.write(reply)
            await self._client.drain()
        self.cut()
