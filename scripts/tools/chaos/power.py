"""A power cut: what the server had not to have synced is gone.

`kill -9` alone cannot show it, because the kernel keeps what a killed process has written. So the
append-only file is cut to what must have been on the disk by then: all of it where each write is
synced before it is answered, and its length of a second ago where it is synced every second. That
is what the setting promises, not what this very disk would have lost; and the server cannot be
asked, as Valkey 9.1 without replicas answers WAITAOF before it has synced.
"""

import asyncio
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from tools.testbed.proxy import Proxy
from tools.testbed.redis_server import RedisServer

_MAY_LOSE = {"always": 0.0, "everysec": 1.0}
"""By `appendfsync`: seconds."""

_BETWEEN = 0.02
"""Seconds between two looks at the file."""


class Power:
    """The power of one server. `watch` must run while it is on."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._lengths: deque[tuple[float, int]] = deque(maxlen=round(5 / _BETWEEN))

    async def watch(self) -> None:
        """Keep noting how long the file is, for ever."""
        while True:
            with suppress(ValueError):  # there is none yet
                self._lengths.append((time.monotonic(), self._file().stat().st_size))
            await asyncio.sleep(_BETWEEN)

    def cut(self, proxy: Proxy) -> None:
        """Kill the server and lose what it need not have synced."""
        with self._server.client() as client:
            setting = client.config_get("appendfsync")["appendfsync"]
        self._server.kill()
        proxy.cut()
        synced_at = time.monotonic() - _MAY_LOSE[setting]
        if _MAY_LOSE[setting]:
            known = [length for then, length in self._lengths if then <= synced_at]
            with self._file().open("r+b") as file:
                file.truncate(known[-1] if known else 0)
        self._lengths.clear()

    def _file(self) -> Path:
        """Find the part of the append-only file that is written to."""
        return max((self._server.directory / "appendonlydir").glob("*.incr.aof"))
