"""Somebody who receives webhooks, on a port of loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

Received = tuple[Mapping[str, str], bytes]
Answer = Callable[[Received], bytes]

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


class Endpoint:
    """What has come in, and what is answered."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answer: Answer = lambda _: OK
        self.port = 0
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?a=b"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = head.split("\r\n")
                fields = dict(line.split(": ", 1) for line in lines[1:] if line)
                assert lines[0] == "POST /hook?a=b HTTP/1.1"
                body = await reader.readexactly(int(fields["Content-Length"]))
                self.received.append((fields, body))
                answer = self.answer(self.received[-1])
                if not answer:
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening() -> AsyncIterator[Endpoint]:
    """Listen until the end of the block."""
    endpoint = Endpoint()
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    endpoint.port = server.sockets[0].getsockname()[1]
    try:
        yield endpoint
    finally:
        server.close()
