"""A server that goes away at the worst moment."""

import asyncio
from pathlib import Path

import pytest

from service.errors import StoreUnavailable
from service.redis.client import RedisClient
from service.settings import Secret
from tests.support.run_queue import Stopwatch


@pytest.mark.parametrize("answered", range(6))
async def test_a_line_that_breaks_right_after_the_handshake(tmp_path: Path, answered: int) -> None:
    """However many commands it answered before: each caller is told, none waits for ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = answered
        while left > 0 and (data := await reader.read(65_536)):
            commands = data.count(b"*")
            writer.write(b"+OK\r\n" * min(left, commands))
            left -= commands
        writer.close()

    server = await asyncio.start_unix_server(serve, tmp_path / "socket")
    redis_client = RedisClient(Secret(f"unix://{tmp_path / 'socket'}"))
    try:
        since = Stopwatch()
        async with asyncio.timeout(30):
            for _ in range(3):
                outcomes = await asyncio.gather(
                    *(redis_client.execute("PING") for _ in range(5)), return_exceptions=True
                )
                assert all(isinstance(o, StoreUnavailable) or o == b"OK" for o in outcomes)
        assert since.own < 3
    finally:
        await redis_client.aclose()
        server.close()
        await server.wait_closed()
