"""A receiver of webhooks that has bad days."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, get_args

Mood = Literal[
    "good", "down", "slow", "lying", "redirecting", "failing", "losing answers", "silent"
]
BAD: tuple[Mood, ...] = get_args(Mood)[1:]
"""What it may be instead of good."""

METADATA = "http://169.254.169.254/latest/meta-data/"
_SLOW = 1.5
"""The longest that an answer takes which is slow, in seconds."""


class Receiver:
    """What has come in, in which order, and what it has lied about."""

    def __init__(self) -> None:
        self.mood: Mood = "good"
        self.arrived: list[str] = []
        """Ids as they came and were kept, repeated ones, too."""
        self.lied: set[str] = set()
        """Ids that were answered with 200, and dropped."""
        self.trapped = 0
        """Requests that came where only a redirect leads."""
        self.port = 0
        self.trap_port = 0
        self.chance = random.Random(0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, as the mood is when a request is there."""
        try:
            while True:
                if self.mood == "down":
                    return
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                event = json.loads(await reader.readexactly(length))["data"]["id"]
                answer = await self._answer(event)
                if not answer:
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    async def trap(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Note that somebody has come here."""
        self.trapped += 1
        writer.close()

    async def _answer(self, event: str) -> bytes:
        match self.mood:
            case "down":
                return b""
            case "lying":
                self.lied.add(event)
                return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
            case "redirecting":
                here = f"http://127.0.0.1:{self.trap_port}/latest/meta-data/"
                to = self.chance.choice((METADATA, here))
                status = self.chance.choice(("301 Moved", "302 Found", "307 Go", "308 Go"))
                return f"HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()
            case "failing":
                return b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
            case "silent":
                await asyncio.sleep(60)
                return b""
        if self.mood == "slow":
            await asyncio.sleep(self.chance.uniform(0.1, _SLOW))
        self.arrived.append(event)
        return b"" if self.mood == "losing answers" else b"HTTP/1.1 204 No Content\r\n\r\n"


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Receive until the end of the block."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    trap = await asyncio.start_server(receiver.trap, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    receiver.trap_port = trap.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        trap.close()
